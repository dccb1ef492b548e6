"""The main job: from a task, an image size and budgets to a design that is verified and explained."""
