"""What training promises and the service relies on: one decode, one resize, one manifest."""
