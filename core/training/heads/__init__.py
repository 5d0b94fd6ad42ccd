"""Whole heads in training: the network that finds their hippocampi, and crops cut from them."""
