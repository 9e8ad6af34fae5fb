"""How good the time left is: real jobs are recorded once, and estimators replayed on them side by side."""
