"""
Dashboards, recording rules and alerts, made from one list of signals.

Build time only: ``make dashboards`` renews ``dashboards/generated/``, which is committed, and which is what ships.
"""
