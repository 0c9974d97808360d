"""Tasks whose answer is known: drawn into a review unseen, and what they say of the reviewers."""
