"""Volume -> Segmentation: one loaded model, its queue, its device."""
