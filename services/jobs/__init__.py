"""Labelling jobs: started on Ray, watched through the folder of their run."""
