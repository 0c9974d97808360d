"""DICOM files: listed as frames, read as 8-bit pictures, without a word of what they say of a patient."""
