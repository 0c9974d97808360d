"""The version of the wording of all prompts: raised when a change of `prompts` may change an answer."""

PROMPTS_VERSION = "1"
