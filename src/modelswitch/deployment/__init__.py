"""Out of the lab: a trained model as a predictor, and as files that run on a device."""
