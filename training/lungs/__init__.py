"""The lung segmenter: which pixels of a frontal chest radiograph are lung."""
