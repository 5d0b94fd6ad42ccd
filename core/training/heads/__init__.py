"""The training of the network that finds the hippocampi in a whole head."""
