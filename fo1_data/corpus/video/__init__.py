"""Videos: files and folders of numbered images, as frames with a number and a time."""
