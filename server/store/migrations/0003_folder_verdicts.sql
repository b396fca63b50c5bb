-- Jobs that judge a folder made by anybody, and what they found. kind: strata.v1.JobKind.
ALTER TABLE jobs ADD COLUMN kind INTEGER NOT NULL DEFAULT 1;

CREATE TABLE folder_verdicts (
  job TEXT PRIMARY KEY REFERENCES jobs(id) ON DELETE CASCADE, verdict TEXT NOT NULL, kind TEXT NOT NULL,
  folder TEXT NOT NULL, notes_json TEXT NOT NULL, not_judged_json TEXT NOT NULL, error TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE violations (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, ord INTEGER NOT NULL, rule TEXT NOT NULL,
  file TEXT NOT NULL, line INTEGER NOT NULL, what TEXT NOT NULL, advice TEXT NOT NULL, PRIMARY KEY (job, ord)
) WITHOUT ROWID;
CREATE INDEX violations_by_rule ON violations(rule, job);
