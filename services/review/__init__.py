"""The review round trip: push what is doubtful to Label Studio, bring back what people corrected."""
