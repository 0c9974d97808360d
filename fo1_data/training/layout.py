"""The names of the files of a training run. Imports no torch."""

# The log: JSON lines.
LOSSES = "losses.jsonl"
SETTINGS = "training.json"
# What a run resumes from.
STATE = "training.pt"
# The folder of the best checkpoint.
BEST = "best"
# In that folder: the measurement that it was kept for.
MEASURED = "measured.json"
# What was trained, apart from the model it was trained from.
APART = "apart"
TENSORBOARD = "tensorboard"
# What Ray keeps of a run of several workers.
RAY = ".ray"
# The ids under which services know the run.
LOGGERS = "loggers.json"
# What a report says of a run that stopped because no measurement was better than the best.
PATIENCE = "patience"
