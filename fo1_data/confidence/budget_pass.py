"""A review budget over a whole dataset: a first pass over all rows plans, a second pass decides them."""

from fo1_data.confidence.review_plan import ReviewPlan
from fo1_data.confidence.routing import Router
from schemas.images import ImageRow


class BudgetPass:
    """Decides the rows of a run that has a review budget: `see` every row first, then `decide` each.

    `num_spent`: how much of the budget (labels, or whole images) an earlier run has already sent to review.
    """

    def __init__(self, router: Router, num_spent: int = 0) -> None:
        self._router, self._num_spent = router, num_spent
        self._plan = ReviewPlan(router)
        self._chosen: set[str] | None = None

    def see(self, row: ImageRow) -> None:
        """Add a scored row to the plan."""
        self._plan.add(row)

    def decide(self, row: ImageRow) -> None:
        """Decide a row in place. Call it only after every row was seen."""
        if self._chosen is None:
            self._chosen = self._plan.choose(self._num_spent)
        self._router.decide(row, self._chosen)
