"""What the examples share: data, the running example, measuring, recording and figures."""
