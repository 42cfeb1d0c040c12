"""The language of filters (`common.filter`) for a person, as `milepost ls --help` shows it."""

HELP = """\
  creators                        the name contains this word
  state = FAILED                  also != ; FAILED, PAUSED, RUNNING and so on
  finding = stuck                 noticed about it now: stuck, slow, at_risk
  label.team = "x"                also != and : (contains); label:team = has such a label
  pipeline, queue, name, id       = != : (contains)
  failed > 0                      also total, succeeded, skipped, processed, priority; = != < <= > >=
  age < 2h                        since submit; idle > 1d: since the last change; s, m, h, d, w
  create_time > 2026-01-31        also activity_time; a date or 2026-01-31T08:00:00Z
  A AND B,  A B,  A OR B,  NOT A,  -A,  ( )      OR binds tighter than AND"""
