"""The review round trip: pushes doubtful images to Label Studio and pulls people's corrections."""
