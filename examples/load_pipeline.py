"""Load the registered scikit-learn pipeline: `python examples/load_pipeline.py`.

Loading runs code that is stored with the model (a pickle), so load models of your own only.
The service never does.
"""

import bentoml
import pandas as pd

pipeline = bentoml.sklearn.load_model("plan_recommender:latest")
month = pd.DataFrame([{"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96}])

print(pipeline)
print("probability of Ultra:", pipeline.predict_proba(month)[0, 1].round(3))
