"""Load the scikit-learn pipeline of the latest model and ask it about a month: `python examples/load_pipeline.py`.

`python train.py` registers a model. Loading its pipeline runs code that is stored with the model (a pickle), so load
only models that you trust. The service does not load the pickle.
"""

import bentoml
import pandas as pd

pipeline = bentoml.sklearn.load_model("plan_recommender:latest")
month = pd.DataFrame([{"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96}])

print(pipeline)
print("probability of Ultra:", pipeline.predict_proba(month)[0, 1].round(3))
