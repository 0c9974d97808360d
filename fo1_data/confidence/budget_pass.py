"""A review budget over a whole dataset: a first pass over all rows plans, a second pass decides them."""

import pyarrow as pa

from fo1_data.confidence.review_plan import ReviewPlan
from fo1_data.confidence.routed_batch import Routed, RoutedBatch
from fo1_data.confidence.routing import Router


class BudgetPass:
    """Decides the rows of a run that has a review budget: `see` every batch first, then `decide` each.

    `num_spent`: how much of the budget (labels, or whole images) an earlier run has already sent to review.
    `is_scored_anew`: whether `router` gives the labels their confidences, or they have them.
    """

    def __init__(self, router: Router, num_spent: int = 0, *, is_scored_anew: bool = False) -> None:
        self._router, self._num_spent, self._is_scored_anew = router, num_spent, is_scored_anew
        self._plan = ReviewPlan(router)
        self._chosen: set[str] | None = None

    def see(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch, which are regular, to the plan."""
        self._plan.add(self._routed(batch).labels)

    def decide(self, batch: pa.RecordBatch) -> Routed:
        """The batch decided. Call it only after every batch was seen."""
        if self._chosen is None:
            self._chosen = self._plan.choose(self._num_spent)
        return self._routed(batch).decided(self._chosen)

    def _routed(self, batch: pa.RecordBatch) -> RoutedBatch:
        return RoutedBatch(batch, self._router, is_scored_anew=self._is_scored_anew)
