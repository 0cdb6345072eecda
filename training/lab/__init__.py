"""Around a training: explore its images, compare networks, tune a recipe."""
