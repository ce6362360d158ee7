"""The adviser that belongs to a registered model: its profile of habits, its policy, and the tariffs in force."""

from pydantic import ValidationError

from plan_recommender.billing.advice import AdvicePolicy, Adviser
from plan_recommender.billing.habits import HabitProfile
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.errors import ModelError
from plan_recommender.model.store import RegisteredModel


def adviser_of(model: RegisteredModel, tariffs: Tariffs) -> Adviser:
    """Put together the adviser of a model: every way of asking that uses it gives the same advice.

    Raises:
        ModelError: the profile or the policy is missing, was altered, or was written by another version.
    """
    content = model.habits()
    try:
        profile = HabitProfile.model_validate_json(content)
        policy = AdvicePolicy.model_validate(model.record.advice)
    except ValidationError as error:
        raise ModelError(
            f"{model.tag}: expected a profile of habits and a policy of this version; train again"
        ) from error
    return Adviser(tariffs, profile, policy)
