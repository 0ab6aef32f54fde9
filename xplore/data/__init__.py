"""Inputs and labels to start a campaign from: one data set a file, each with a function `load`."""
