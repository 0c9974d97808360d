"""The bases: pre-trained VLMs that VLM-FO1's regions are attached to, each behind one interface."""
