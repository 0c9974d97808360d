"""TODO-DOC."""

from typing import Any

from fo1_data.confidence.review_plan import ReviewPlan
from fo1_data.confidence.routing import Router
from schemas.images import ImageRow


class BudgetPass:
    """Decides the rows of a run with a review budget, once all of them are there: see all, then decide."""

    def __init__(self, router: Router, already: int = 0) -> None:
        self._router, self._already = router, already
        self._plan = ReviewPlan(router)
        self._chosen: set[str] | None = None

    def see(self, row: ImageRow) -> None:
        """Take in a row that will be decided."""
        self._plan.add(row)

    def decide(self, row: ImageRow) -> None:
        """Decide a row, after all were seen."""
        if self._chosen is None:
            self._chosen = self._plan.choose(self._already)
        self._router.decide(row, self._chosen)


def told_rules(router: Router, warning: str | None = None) -> dict[str, Any]:
    """What the manifest says of the routing: its settings and, of each kind, the rule with its evidence."""
    rules = {kind.value: rule.model_dump(mode="json") for kind, rule in router.acceptances.items()}
    document: dict[str, Any] = {**router.settings.model_dump(mode="json"), "rules": rules}
    return document | ({"warning": warning} if warning else {})
