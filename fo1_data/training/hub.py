"""Pushes a checkpoint to the Hub, or to a server that speaks its protocol (`HF_ENDPOINT`).

The card is made anew. What names this machine stays here: lineage, settings, log, state.
"""

from pathlib import Path

from fo1_data.errors import ConfigError, StorageError, first_line
from fo1_data.model.checkpoint_folder import list_weight_files
from fo1_data.training.layout import LOGGERS, SETTINGS
from fo1_data.training.model_card import CARD, write_model_card

_PUSHED = ("*.json", "*.txt", "*.safetensors", CARD, "LICENSE*")
_KEPT = ("lineage.json", SETTINGS, LOGGERS, "*/*")


def push_model(folder: Path, repo: str, *, private: bool = False) -> str:
    """Push the checkpoint in `folder` to the repository `owner/name`, made if it is missing.

    Returns the URL of the commit. The token is that of `hf auth login` or `HF_TOKEN`. Raises CheckpointError
    if no run wrote the folder, ConfigError for a name that cannot be one, StorageError if the Hub refuses or
    cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError

    list_weight_files(folder)
    write_model_card(folder)
    api = HfApi()
    try:
        api.create_repo(repo, repo_type="model", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=str(folder),
            allow_patterns=list(_PUSHED),
            ignore_patterns=list(_KEPT),
            commit_message="Upload a checkpoint of fo1 train",
        )
    except HFValidationError as error:
        raise ConfigError(f"--repo {repo}: {first_line(error)}") from None
    except LocalTokenNotFoundError:
        raise ConfigError("no token for the Hub: set HF_TOKEN, or run `hf auth login`") from None
    except Exception as error:  # of the client, or of what it sends by: httpx, httpx2, Xet
        raise StorageError(f"{repo}: the Hub did not take the checkpoint: {first_line(error)}") from None
    return str(commit.commit_url)
