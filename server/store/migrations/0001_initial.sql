-- Times are microseconds since the epoch, NULL where there is none. Enumerations hold the numbers of
-- strata.v1 (types.proto, strata.proto). Columns that end in _json hold lists that are only ever read whole.

CREATE TABLE blobs (
  digest TEXT PRIMARY KEY, size INTEGER NOT NULL, stored_us INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE uploads (  -- announced, not complete; the bytes so far lie in uploads/DIGEST
  digest TEXT PRIMARY KEY, size INTEGER NOT NULL, started_us INTEGER NOT NULL
) WITHOUT ROWID;

-- One row per distinct source. id: SHA-256 over entry and files.
CREATE TABLE models (
  id TEXT PRIMARY KEY, entry TEXT NOT NULL, created_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE model_files (
  model TEXT NOT NULL REFERENCES models(id) ON DELETE CASCADE, path TEXT NOT NULL, digest TEXT NOT NULL,
  size INTEGER NOT NULL, PRIMARY KEY (model, path)
) WITHOUT ROWID;
CREATE INDEX model_files_by_digest ON model_files(digest);

CREATE TABLE jobs (
  n INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of submission
  id TEXT NOT NULL UNIQUE,
  request_id TEXT NOT NULL UNIQUE, request_digest TEXT NOT NULL,
  model TEXT NOT NULL REFERENCES models(id), model_name TEXT NOT NULL,
  device INTEGER NOT NULL, threads INTEGER NOT NULL,
  wall_seconds INTEGER NOT NULL, memory_bytes INTEGER NOT NULL, output_bytes INTEGER NOT NULL,
  file_bytes INTEGER NOT NULL,
  state INTEGER NOT NULL, resolved_device TEXT NOT NULL DEFAULT '', cancel_requested INTEGER NOT NULL DEFAULT 0,
  has_bundle INTEGER NOT NULL DEFAULT 0, failure_json TEXT NOT NULL DEFAULT '',
  composition_status TEXT NOT NULL DEFAULT '', composition_max_diff REAL, composition_bit_exact INTEGER NOT NULL DEFAULT 0,
  created_us INTEGER NOT NULL, started_us INTEGER, ended_us INTEGER, updated_us INTEGER NOT NULL,
  last_event INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX jobs_by_state ON jobs(state, n);
CREATE INDEX jobs_by_model_name ON jobs(model_name, n);
CREATE INDEX jobs_by_created ON jobs(created_us, n);
CREATE INDEX jobs_by_model ON jobs(model);

CREATE TABLE labels (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (job, key)
) WITHOUT ROWID;
CREATE INDEX labels_by_value ON labels(key, value, job);

CREATE TABLE tasks (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, ord INTEGER NOT NULL,
  id TEXT NOT NULL, kind INTEGER NOT NULL, component TEXT NOT NULL, step TEXT NOT NULL, after_json TEXT NOT NULL,
  state INTEGER NOT NULL, attempt INTEGER NOT NULL, tries INTEGER NOT NULL, engine_deaths INTEGER NOT NULL,
  not_before_us INTEGER, last_worker TEXT NOT NULL,
  leased_us INTEGER, expires_us INTEGER, deadline_us INTEGER, revoked INTEGER NOT NULL DEFAULT 0,  -- while it runs
  PRIMARY KEY (job, ord)
) WITHOUT ROWID;
CREATE UNIQUE INDEX tasks_by_id ON tasks(job, id);

CREATE TABLE attempts (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, task TEXT NOT NULL, attempt INTEGER NOT NULL,
  worker TEXT NOT NULL, worker_name TEXT NOT NULL, outcome INTEGER NOT NULL, leased_us INTEGER NOT NULL, ended_us INTEGER,
  seconds REAL NOT NULL DEFAULT 0, peak_memory_bytes INTEGER NOT NULL DEFAULT 0, failure_json TEXT NOT NULL DEFAULT '',
  stdout_dropped INTEGER NOT NULL DEFAULT 0, stderr_dropped INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (job, task, attempt)
) WITHOUT ROWID;

-- What user code wrote, piece by piece; capped by the coordinator.
CREATE TABLE attempt_logs (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, task TEXT NOT NULL, attempt INTEGER NOT NULL,
  stream INTEGER NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (job, task, attempt, stream, seq)
);

-- What the tasks of a job wrote: the bundle, and .strata/.
CREATE TABLE files (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, path TEXT NOT NULL, digest TEXT NOT NULL,
  size INTEGER NOT NULL, task TEXT NOT NULL,  -- "": the submission
  PRIMARY KEY (job, path)
) WITHOUT ROWID;
CREATE INDEX files_by_digest ON files(digest);

CREATE TABLE trees (
  job TEXT PRIMARY KEY REFERENCES jobs(id) ON DELETE CASCADE, root TEXT NOT NULL, source_file TEXT NOT NULL,
  source_level INTEGER NOT NULL, model_name TEXT NOT NULL, total_components INTEGER NOT NULL,
  unique_kernels INTEGER NOT NULL, verification_status TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE nodes (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, ord INTEGER NOT NULL, id TEXT NOT NULL,
  name TEXT NOT NULL, level INTEGER NOT NULL, path TEXT NOT NULL, instance_count INTEGER NOT NULL,
  children_json TEXT NOT NULL, workloads_json TEXT NOT NULL, PRIMARY KEY (job, ord)
) WITHOUT ROWID;
CREATE UNIQUE INDEX nodes_by_id ON nodes(job, id);
CREATE INDEX nodes_by_level ON nodes(level, id);

CREATE TABLE node_tensors (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, node TEXT NOT NULL, is_output INTEGER NOT NULL,
  ord INTEGER NOT NULL, name TEXT NOT NULL, shape_json TEXT NOT NULL, dtype TEXT NOT NULL,
  PRIMARY KEY (job, node, is_output, ord)
) WITHOUT ROWID;
CREATE TABLE node_calls (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, parent TEXT NOT NULL, ord INTEGER NOT NULL,
  child TEXT NOT NULL, calls INTEGER NOT NULL, PRIMARY KEY (job, parent, ord)
) WITHOUT ROWID;
CREATE TABLE node_instances (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, node TEXT NOT NULL, ord INTEGER NOT NULL,
  scope TEXT NOT NULL, calls INTEGER NOT NULL, PRIMARY KEY (job, node, ord)
) WITHOUT ROWID;
CREATE TABLE data_flow (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, ord INTEGER NOT NULL, source TEXT NOT NULL,
  target TEXT NOT NULL, tensor_name TEXT NOT NULL, shape_json TEXT NOT NULL, dtype TEXT NOT NULL,
  PRIMARY KEY (job, ord)
) WITHOUT ROWID;

CREATE VIEW kernels AS SELECT job, id, name, path, instance_count FROM nodes WHERE level = 1;
CREATE VIEW kernel_instances AS
  SELECT i.job, i.node AS kernel, i.scope, i.calls FROM node_instances i
  JOIN nodes n ON n.job = i.job AND n.id = i.node WHERE n.level = 1;

-- One row per component that is no kernel; the verdict's columns once there is one.
CREATE TABLE steps (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, ord INTEGER NOT NULL, name TEXT NOT NULL,
  component TEXT NOT NULL, level INTEGER NOT NULL, children_json TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT '', anticheat_status TEXT NOT NULL DEFAULT '', max_diff REAL,
  bit_exact INTEGER NOT NULL DEFAULT 0, coverage_pct REAL,
  PRIMARY KEY (job, ord)
) WITHOUT ROWID;
CREATE UNIQUE INDEX steps_by_name ON steps(job, name);

CREATE TABLE step_results (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, step TEXT NOT NULL,
  original_file TEXT NOT NULL, refactored_file TEXT NOT NULL, violations_json TEXT NOT NULL,
  weights_mapped INTEGER NOT NULL, unmapped_original_json TEXT NOT NULL, unmapped_refactored_json TEXT NOT NULL,
  rtol REAL, atol REAL, input_dtype TEXT NOT NULL, environment_json TEXT NOT NULL,
  PRIMARY KEY (job, step)
) WITHOUT ROWID;
CREATE TABLE trials (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, step TEXT NOT NULL, trial INTEGER NOT NULL,
  seed INTEGER NOT NULL, max_diff REAL, pass INTEGER NOT NULL, PRIMARY KEY (job, step, trial)
) WITHOUT ROWID;
CREATE TABLE trial_outputs (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, step TEXT NOT NULL, trial INTEGER NOT NULL,
  output_idx INTEGER NOT NULL, shape_json TEXT NOT NULL, dtype TEXT NOT NULL, max_diff REAL, mean_diff REAL,
  matches INTEGER NOT NULL, PRIMARY KEY (job, step, trial, output_idx)
) WITHOUT ROWID;

-- step '': the summary of the whole model.
CREATE TABLE coverage (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, step TEXT NOT NULL, status TEXT NOT NULL,
  total_original_ops INTEGER NOT NULL, total_decomposed_ops INTEGER NOT NULL, covered_op_count INTEGER NOT NULL,
  coverage_pct REAL, missing_json TEXT NOT NULL, extra_json TEXT NOT NULL, PRIMARY KEY (job, step)
) WITHOUT ROWID;
CREATE TABLE coverage_operators (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, step TEXT NOT NULL, ord INTEGER NOT NULL,
  op_type TEXT NOT NULL, original_count INTEGER NOT NULL, decomposed_count INTEGER NOT NULL, status TEXT NOT NULL,
  kernel_files_json TEXT NOT NULL, PRIMARY KEY (job, step, ord)
) WITHOUT ROWID;
CREATE TABLE coverage_kernels (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, step TEXT NOT NULL, ord INTEGER NOT NULL,
  file TEXT NOT NULL, op_types_json TEXT NOT NULL, instance_count INTEGER NOT NULL, PRIMARY KEY (job, step, ord)
) WITHOUT ROWID;
CREATE TABLE coverage_plumbing (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, step TEXT NOT NULL, op TEXT NOT NULL,
  count INTEGER NOT NULL, PRIMARY KEY (job, step, op)
) WITHOUT ROWID;

CREATE TABLE log_entries (
  job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, task TEXT NOT NULL, ord INTEGER NOT NULL,
  step TEXT NOT NULL, type TEXT NOT NULL, title TEXT NOT NULL, description TEXT NOT NULL, resolution TEXT NOT NULL,
  timestamp TEXT NOT NULL, PRIMARY KEY (job, task, ord)
);

CREATE TABLE workers (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, slots INTEGER NOT NULL, devices_json TEXT NOT NULL,
  engine_version TEXT NOT NULL, torch_version TEXT NOT NULL, isolation TEXT NOT NULL,
  device_memory_bytes INTEGER NOT NULL, connected INTEGER NOT NULL, draining INTEGER NOT NULL,
  last_seen_us INTEGER NOT NULL
) WITHOUT ROWID;

-- body: a serialized strata.v1.Event without its number.
CREATE TABLE events (
  number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
  time_us INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX events_by_job ON events(job, number);
