SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.attempt (
    run_id bigint NOT NULL,
    number bigint NOT NULL,
    executor text NOT NULL,
    job_id text,
    task_id text,
    restart_count bigint NOT NULL,
    host text NOT NULL,
    pid bigint NOT NULL,
    process_started_at double precision NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ready_at timestamp with time zone,
    heartbeat_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    outcome text,
    failure text,
    resumed_from_sync bigint,
    resumed_from_step bigint,
    versions json,
    device text,
    parameters bigint,
    setup_s double precision,
    code_version text NOT NULL,
    git_commit text,
    git_dirty boolean,
    threads bigint,
    journal_bytes bigint DEFAULT '0'::bigint NOT NULL,
    CONSTRAINT ck_attempt_ended CHECK (((outcome IS NULL) = (ended_at IS NULL))),
    CONSTRAINT ck_attempt_number CHECK ((number >= 1)),
    CONSTRAINT ck_attempt_outcome CHECK ((outcome = ANY (ARRAY['collapsed'::text, 'degraded'::text, 'stable'::text, 'diverged'::text, 'interrupted'::text, 'failed'::text, 'lost'::text])))
);
CREATE TABLE public.cell (
    id bigint NOT NULL,
    sweep_id bigint NOT NULL,
    "position" bigint NOT NULL,
    model text NOT NULL,
    k bigint NOT NULL,
    eta double precision NOT NULL,
    axes text NOT NULL,
    CONSTRAINT ck_cell_eta CHECK ((eta > (0)::double precision)),
    CONSTRAINT ck_cell_k CHECK ((k >= 1)),
    CONSTRAINT ck_cell_position CHECK (("position" >= 0))
);
CREATE SEQUENCE public.cell_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.cell_id_seq OWNED BY public.cell.id;
CREATE TABLE public.evaluation (
    run_id bigint NOT NULL,
    learner_step bigint NOT NULL,
    attempt bigint NOT NULL,
    val_reward double precision NOT NULL,
    val_n bigint,
    CONSTRAINT ck_evaluation_learner_step CHECK ((learner_step >= 0)),
    CONSTRAINT ck_evaluation_val_n CHECK ((val_n >= 1))
);
CREATE TABLE public.fit (
    id bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    sweeps json NOT NULL,
    run_ids json NOT NULL,
    code_version text NOT NULL,
    detector text NOT NULL,
    result json NOT NULL
);
CREATE SEQUENCE public.fit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.fit_id_seq OWNED BY public.fit.id;
CREATE TABLE public.run (
    id bigint NOT NULL,
    cell_id bigint NOT NULL,
    seed bigint NOT NULL,
    state text NOT NULL,
    config json NOT NULL,
    config_digest text NOT NULL,
    resources json NOT NULL,
    horizon bigint NOT NULL,
    learner_steps bigint NOT NULL,
    collapse_step bigint,
    collapse_step_lo bigint,
    collapse_sync bigint,
    collapse_detector text,
    failure text,
    fence bigint NOT NULL,
    code_version text NOT NULL,
    git_commit text,
    updated_at timestamp with time zone NOT NULL,
    directory text,
    CONSTRAINT ck_run_collapse_step CHECK (((collapse_step >= 1) AND (collapse_step <= horizon))),
    CONSTRAINT ck_run_collapse_step_lo CHECK (((collapse_step_lo >= 0) AND (collapse_step_lo < collapse_step))),
    CONSTRAINT ck_run_collapse_sync CHECK ((collapse_sync >= 0)),
    CONSTRAINT ck_run_collapsed CHECK (((state = 'collapsed'::text) = (collapse_step IS NOT NULL))),
    CONSTRAINT ck_run_fence CHECK ((fence >= 0)),
    CONSTRAINT ck_run_horizon CHECK ((horizon >= 1)),
    CONSTRAINT ck_run_learner_steps CHECK (((learner_steps >= 0) AND (learner_steps <= horizon))),
    CONSTRAINT ck_run_state CHECK ((state = ANY (ARRAY['pending'::text, 'queued'::text, 'running'::text, 'collapsed'::text, 'degraded'::text, 'stable'::text, 'failed'::text, 'lost'::text, 'cancelled'::text])))
);
CREATE SEQUENCE public.run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.run_id_seq OWNED BY public.run.id;
CREATE TABLE public.stalesweep_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.sweep (
    id bigint NOT NULL,
    name text NOT NULL,
    digest text NOT NULL,
    grid_text text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    source text DEFAULT 'grid'::text NOT NULL,
    CONSTRAINT ck_sweep_source CHECK ((source = ANY (ARRAY['grid'::text, 'import'::text])))
);
CREATE SEQUENCE public.sweep_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.sweep_id_seq OWNED BY public.sweep.id;
CREATE TABLE public.sync_metric (
    run_id bigint NOT NULL,
    sync bigint NOT NULL,
    attempt bigint NOT NULL,
    learner_step bigint NOT NULL,
    reward double precision,
    reward_std double precision,
    val_reward double precision,
    lag_min bigint,
    lag_mean double precision,
    lag_p99 bigint,
    lag_max bigint,
    cosine_update_within double precision,
    cosine_update_across double precision,
    cosine_gradient_within double precision,
    cosine_gradient_across double precision,
    gradient_norm double precision,
    update_norm double precision,
    drift_from_start double precision,
    drift_in_cycle double precision,
    path_length double precision,
    ratio_mean double precision,
    ratio_max double precision,
    clip_fraction_low double precision,
    clip_fraction_high double precision,
    kl_behavior double precision,
    kl_reference double precision,
    ess_token double precision,
    ess_sequence double precision,
    entropy double precision,
    completion_tokens double precision,
    truncated_fraction double precision,
    zero_std_fraction double precision,
    engine_gap double precision,
    dropped_groups bigint,
    rollout_s double precision,
    learner_s double precision,
    sync_s double precision,
    idle_s double precision,
    rollout_tokens bigint,
    CONSTRAINT ck_sync_metric_learner_step CHECK ((learner_step >= 0)),
    CONSTRAINT ck_sync_metric_sync CHECK ((sync >= 0))
);
ALTER TABLE ONLY public.cell ALTER COLUMN id SET DEFAULT nextval('public.cell_id_seq'::regclass);
ALTER TABLE ONLY public.fit ALTER COLUMN id SET DEFAULT nextval('public.fit_id_seq'::regclass);
ALTER TABLE ONLY public.run ALTER COLUMN id SET DEFAULT nextval('public.run_id_seq'::regclass);
ALTER TABLE ONLY public.sweep ALTER COLUMN id SET DEFAULT nextval('public.sweep_id_seq'::regclass);
INSERT INTO public.attempt VALUES (3, 1, 'local', '8955', NULL, 0, 'vm', 8957, 2638248, '2026-11-22 23:01:13.205629+00', '2026-11-22 23:01:13.364704+00', '2026-11-22 23:01:13.870184+00', '2026-11-22 23:01:13.870185+00', 'stable', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.14305242000045837, '0.1.0', NULL, NULL, 1, 6935);
INSERT INTO public.attempt VALUES (2, 1, 'local', '8956', NULL, 0, 'vm', 8958, 2638256, '2026-11-22 23:01:12.23475+00', '2026-11-22 23:01:12.525542+00', '2026-11-22 23:01:13.241005+00', '2026-11-22 23:01:13.241006+00', 'collapsed', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.2705129800015129, '0.1.0', NULL, NULL, 1, 23041);
INSERT INTO public.attempt VALUES (5, 1, 'local', '9080', NULL, 0, 'vm', 9083, 2640047, '2026-11-22 23:01:26.709023+00', '2026-11-22 23:01:27.014953+00', '2026-11-22 23:01:27.216764+00', '2026-11-22 23:01:27.216765+00', 'interrupted', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.28463456200188375, '0.1.0', NULL, NULL, 1, 4300);
INSERT INTO public.attempt VALUES (1, 1, 'local', '8955', NULL, 0, 'vm', 8957, 2638248, '2026-11-22 23:01:12.097981+00', '2026-11-22 23:01:12.382888+00', '2026-11-22 23:01:13.168198+00', '2026-11-22 23:01:13.168199+00', 'stable', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.2591283109977667, '0.1.0', NULL, NULL, 1, 23336);
INSERT INTO public.attempt VALUES (4, 1, 'local', '8956', NULL, 0, 'vm', 8958, 2638256, '2026-11-22 23:01:13.278771+00', '2026-11-22 23:01:13.429386+00', '2026-11-22 23:01:13.829961+00', '2026-11-22 23:01:13.829962+00', 'collapsed', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.13941659500051173, '0.1.0', NULL, NULL, 1, 6833);
INSERT INTO public.cell VALUES (1, 1, 0, 'tiny', 2, 0.0005, '{}');
INSERT INTO public.cell VALUES (2, 1, 1, 'tiny', 2, 0.004, '{}');
INSERT INTO public.cell VALUES (3, 1, 2, 'tiny', 8, 0.0005, '{}');
INSERT INTO public.cell VALUES (4, 1, 3, 'tiny', 8, 0.004, '{}');
INSERT INTO public.cell VALUES (5, 2, 0, 'tiny', 4, 0.0005, '{}');
INSERT INTO public.evaluation VALUES (1, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (2, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (1, 8, 1, 0.6328125, 256);
INSERT INTO public.evaluation VALUES (2, 8, 1, 0.17578125, 256);
INSERT INTO public.evaluation VALUES (1, 16, 1, 0.4921875, 256);
INSERT INTO public.evaluation VALUES (2, 16, 1, 0.0390625, 256);
INSERT INTO public.evaluation VALUES (1, 24, 1, 0.55859375, 256);
INSERT INTO public.evaluation VALUES (2, 24, 1, 0.01953125, 256);
INSERT INTO public.evaluation VALUES (1, 32, 1, 0.609375, 256);
INSERT INTO public.evaluation VALUES (2, 32, 1, 0.00390625, 256);
INSERT INTO public.evaluation VALUES (1, 40, 1, 0.65234375, 256);
INSERT INTO public.evaluation VALUES (2, 40, 1, 0, 256);
INSERT INTO public.evaluation VALUES (3, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (4, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (3, 8, 1, 0.45703125, 256);
INSERT INTO public.evaluation VALUES (4, 8, 1, 0.3515625, 256);
INSERT INTO public.evaluation VALUES (3, 16, 1, 0.5546875, 256);
INSERT INTO public.evaluation VALUES (4, 16, 1, 0.140625, 256);
INSERT INTO public.evaluation VALUES (3, 24, 1, 0.45703125, 256);
INSERT INTO public.evaluation VALUES (4, 24, 1, 0.0546875, 256);
INSERT INTO public.evaluation VALUES (4, 32, 1, 0.0078125, 256);
INSERT INTO public.evaluation VALUES (3, 32, 1, 0.5234375, 256);
INSERT INTO public.evaluation VALUES (4, 40, 1, 0.00390625, 256);
INSERT INTO public.evaluation VALUES (3, 40, 1, 0.49609375, 256);
INSERT INTO public.evaluation VALUES (5, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (5, 8, 1, 0.53515625, 256);
INSERT INTO public.fit VALUES (1, '2026-11-22 23:01:18.077415+00', '["finished"]', '[1, 2, 3, 4]', '0.1.0', 'half', '{"models": {"tiny": {"cells": [{"k": 2, "eta": 0.0005, "axes": {}, "n_runs": 1, "n_collapsed": 0, "n_degraded": 0, "n_left_out": 0, "horizon": 40, "collapse_step": null, "collapse_sync": null, "eta_k": 0.001, "eta_T": null, "p_collapse": 0.0}, {"k": 2, "eta": 0.004, "axes": {}, "n_runs": 1, "n_collapsed": 1, "n_degraded": 0, "n_left_out": 0, "horizon": 40, "collapse_step": {"lo": 0, "hi": 8, "median": 8}, "collapse_sync": 4, "eta_k": 0.008, "eta_T": 0.032, "p_collapse": 1.0}, {"k": 8, "eta": 0.0005, "axes": {}, "n_runs": 1, "n_collapsed": 0, "n_degraded": 0, "n_left_out": 0, "horizon": 40, "collapse_step": null, "collapse_sync": null, "eta_k": 0.004, "eta_T": null, "p_collapse": 0.0}, {"k": 8, "eta": 0.004, "axes": {}, "n_runs": 1, "n_collapsed": 1, "n_degraded": 0, "n_left_out": 0, "horizon": 40, "collapse_step": {"lo": 8, "hi": 16, "median": 16}, "collapse_sync": 2, "eta_k": 0.032, "eta_T": 0.064, "p_collapse": 1.0}], "local": {"exponent": {"estimate": 0.0, "se": null, "ci95": null, "identified_set": [-1.5000000000014433, 1.5000000000014433]}, "constant": {"estimate": 0.00565685424949238, "se": null, "ci95": null, "identified_set": [0.004, 0.008]}, "p_exponent_is_1": null, "brackets": [{"k": 2, "eta_stable": 0.0005, "eta_collapsed": 0.004}, {"k": 8, "eta_stable": 0.0005, "eta_collapsed": 0.004}], "separable": true}, "horizon": {"eta_exponent": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "k_exponent": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "constant": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "prefactor": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "sigma": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "p_law": null, "law_in_set": null, "n_collapsed": 2, "n_censored": 2, "collapsed_only": {"eta_exponent": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "k_exponent": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "constant": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "prefactor": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "sigma": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "p_law": null, "law_in_set": null, "n_collapsed": 2, "n_censored": 0}, "cv_eta_T": 0.4714045207910317}, "two_constraint": {"cells_right": null, "cells": null}, "regime": {"cosine_auc": null, "drift_exponent": {"collapsed": null, "stable": null}}, "warnings": ["All collapsed runs share eta=0.004: how T* depends on eta cannot be told; run other eta at the same k until a second one collapses.", "Every cell was run with one seed only, so how often it collapses is not known; add seeds to the grid."]}}, "runs": 4, "left_out": []}');
INSERT INTO public.run VALUES (1, 1, 0, 'stable', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 2, "eta": 0.0005, "seed": 0, "horizon": 40, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', 'c7b4f1f4c67f727d', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "array_parallelism": 256, "slurm": {}}', 40, 40, NULL, NULL, NULL, 'half', NULL, 1, '0.1.0', NULL, '2026-11-22 23:01:13.166529+00', '/tmp/tmprhex9dho/postgres/runs/run-000001');
INSERT INTO public.run VALUES (2, 2, 0, 'collapsed', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 2, "eta": 0.004, "seed": 0, "horizon": 40, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', 'cffd9b8a00b3a9b5', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "array_parallelism": 256, "slurm": {}}', 40, 40, 8, 0, 4, 'half', NULL, 1, '0.1.0', NULL, '2026-11-22 23:01:13.246112+00', '/tmp/tmprhex9dho/postgres/runs/run-000002');
INSERT INTO public.run VALUES (4, 4, 0, 'collapsed', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 8, "eta": 0.004, "seed": 0, "horizon": 40, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', '9284709e8d72cc63', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "array_parallelism": 256, "slurm": {}}', 40, 40, 16, 8, 2, 'half', NULL, 1, '0.1.0', NULL, '2026-11-22 23:01:13.831436+00', '/tmp/tmprhex9dho/postgres/runs/run-000004');
INSERT INTO public.run VALUES (3, 3, 0, 'stable', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 8, "eta": 0.0005, "seed": 0, "horizon": 40, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', 'bd91b0830e24d3a2', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "array_parallelism": 256, "slurm": {}}', 40, 40, NULL, NULL, NULL, 'half', NULL, 1, '0.1.0', NULL, '2026-11-22 23:01:13.869296+00', '/tmp/tmprhex9dho/postgres/runs/run-000003');
INSERT INTO public.run VALUES (5, 5, 0, 'pending', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 4, "eta": 0.0005, "seed": 0, "horizon": 160, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', '5d47cf9563412c21', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "array_parallelism": 256, "slurm": {}}', 160, 13, NULL, NULL, NULL, NULL, NULL, 1, '0.1.0', NULL, '2026-11-22 23:01:27.216353+00', '/tmp/tmprhex9dho/postgres/runs/run-000005');
INSERT INTO public.stalesweep_version VALUES ('0003');
INSERT INTO public.sweep VALUES (1, 'finished', '326c7ef80d571348', 'name: finished
grid: {model: [tiny], k: [2, 8], eta: [5e-4, 4e-3], seed: [0]}
fixed: {horizon: 40}
', '2026-11-22 23:01:02.388116+00', 'grid');
INSERT INTO public.sweep VALUES (2, 'unfinished', '5341c754ea5224e2', 'name: unfinished
grid: {model: [tiny], k: [4], eta: [5e-4], seed: [0]}
fixed: {horizon: 160}
', '2026-11-22 23:01:20.319691+00', 'grid');
INSERT INTO public.sync_metric VALUES (1, 0, 1, 0, 0.3984375, 0.4915000796318054, NULL, 0, 0.5, 1, 1, 0.9870184388789791, NULL, 0.9974094064346379, NULL, 4.475541353225708, 0.010853769723325968, 0.02164449729025364, 0.02164449729025364, 0.021707539446651936, 0.9976872503757477, 1.1970607042312622, 0, 0, 0.0006595376182072835, 0.0007222542189992964, 0.9987773597240448, 0.9953567683696747, 0.2747732698917389, 3.734375, 0, 0.0625, 4.900348926639708e-07, 0, 0.011354578997270437, 0.019657952998386463, 9.323999984189868e-05, 0.016846370002895128, 478);
INSERT INTO public.sync_metric VALUES (1, 2, 1, 4, 0.65625, 0.47682511806488037, NULL, 0, 0.5, 1, 1, 0.940863809605388, 0.8894575399874288, 0.8653815815596181, 0.25322360942608296, 4.02660608291626, 0.025406318716704845, 0.10213706642389297, 0.05005819350481033, 0.11284844111651182, 0.9941805899143219, 1.7998584508895874, 0, 0, 0.006024911068505104, 0.19529717788100243, 0.9909500181674957, 0.967633068561554, 0.2822751849889755, 3.4375, 0, 0.0625, 4.673554485634668e-07, 0, 0.01540144099999452, 0.017409395997674437, 8.418400102527812e-05, 0.017941844005690655, 440);
INSERT INTO public.sync_metric VALUES (1, 3, 1, 6, 0.65625, 0.47682511806488037, 0.6328125, 0, 0.5, 1, 1, 0.9523512004140354, 0.9015892032141152, 0.9598774757559074, 0.4332056625226455, 4.808512210845947, 0.02914924081414938, 0.14594803750514984, 0.05760222300887108, 0.17114692274481058, 0.9977514445781708, 1.7870639562606812, 0, 0, 0.003162760287662087, 0.2020561471581459, 0.9948679506778717, 0.9809458553791046, 0.27734000980854034, 3.5, 0, 0.0625, 4.696154576322442e-07, 0, 0.009144900999672245, 0.013689463001355762, 8.923999848775566e-05, 0.013726817000133451, 448);
INSERT INTO public.sync_metric VALUES (2, 0, 1, 0, 0.3984375, 0.4915000796318054, NULL, 0, 0.5, 1, 1, 0.8935967407546994, NULL, 0.8903620139545502, NULL, 3.4603428840637207, 0.08069371245801449, 0.15736936032772064, 0.15736936032772064, 0.16138742491602898, 0.983269989490509, 2.283939838409424, 0, 0, 0.0303654596211114, 0.10191571712493896, 0.9670036137104034, 0.889335572719574, 0.27181701362133026, 3.734375, 0, 0.0625, 4.900348926639708e-07, 0, 0.013946512000984512, 0.015479766996577382, 9.690300066722557e-05, 0.018284221001522383, 478);
INSERT INTO public.sync_metric VALUES (2, 1, 1, 2, 0.4765625, 0.5014128684997559, NULL, 0, 0.5, 1, 1, 0.8790592749389857, 0.7561610644313866, 0.81646609933208, -0.3565588035984478, 5.2386616468429565, 0.12271137535572052, 0.3561250567436218, 0.23795221745967865, 0.40681017562747, 0.9901464879512787, 4.926610469818115, 0, 0, 0.04881323874014667, 0.46832895278930664, 0.9267767369747162, 0.8020705580711365, 0.29027310013771057, 3.515625, 0, 0.125, 5.236460651758534e-07, 0, 0.010718862002249807, 0.011301597001875052, 0.0014415320001717191, 0.020037983998918207, 450);
INSERT INTO public.sync_metric VALUES (1, 4, 1, 8, 0.6796875, 0.4684300124645233, NULL, 0, 0.5, 1, 1, 0.9500330015236714, 0.9359687425276882, 0.8999481678471095, 0.5715722873943034, 3.0067145824432373, 0.03378504328429699, 0.1927707940340042, 0.0667223334312439, 0.23871700931340456, 0.9956903159618378, 1.3458082675933838, 0, 0, 0.004555666353755074, 0.18835975229740143, 0.9930766820907593, 0.9770545065402985, 0.2994697391986847, 3.3671875, 0, 0.0625, 5.404652370089025e-07, 0, 0.012988215999939712, 0.012573209001857322, 9.050799781107344e-05, 0.015925957002764335, 431);
INSERT INTO public.sync_metric VALUES (2, 2, 1, 4, 0.4140625, 0.49449479579925537, NULL, 0, 0.5, 1, 1, 0.8827641700594208, 0.7392611260362401, 0.6816333257687701, 0.06955238326762463, 2.731995940208435, 0.14874423295259476, 0.5588930249214172, 0.28869393467903137, 0.7042986415326595, 0.9736725389957428, 9.449142456054688, 0, 0, 0.06512302905333045, 6.240401446819305, 0.8942389488220215, 0.8439120948314667, 0.273017093539238, 3.46875, 0, 0.3125, 4.19923281924639e-07, 0, 0.012198319000162883, 0.012518055002146866, 7.601800098200329e-05, 0.015086724000866525, 444);
INSERT INTO public.sync_metric VALUES (1, 5, 1, 10, 0.7734375, 0.4202519655227661, NULL, 0, 0.5, 1, 1, 0.9569988684676045, 0.9564527012115976, 0.7178998411985221, 0.5493016294916431, 2.302895426750183, 0.03361096419394016, 0.2360984981060028, 0.06649553775787354, 0.3059389377012849, 0.9903558790683746, 1.581321358680725, 0, 0, 0.006117009092215924, 0.183078832924366, 0.993995726108551, 0.9802243113517761, 0.23136314004659653, 3.5, 0, 0.125, 4.1553508367542236e-07, 0, 0.014119288000074448, 0.016972580000583548, 9.23549996514339e-05, 0.015608738001901656, 448);
INSERT INTO public.sync_metric VALUES (1, 6, 1, 12, 0.546875, 0.4997538626194, NULL, 0, 0.5, 1, 1, 0.9402661192607794, 0.9294144877580329, 0.9433712416777644, -0.08703640191305047, 5.567122936248779, 0.02485824003815651, 0.26937851309776306, 0.048971306532621384, 0.3556554177775979, 1.0040770173072815, 2.387821912765503, 0, 0, 0.004288850352247009, 0.32563965022563934, 0.9883713722229004, 0.965539425611496, 0.30331431329250336, 3.515625, 0, 0.0625, 3.538613384534983e-07, 0, 0.008868398999766214, 0.010491250002814922, 8.83350003277883e-05, 0.013467187000060221, 450);
INSERT INTO public.sync_metric VALUES (2, 3, 1, 6, 0.3515625, 0.4793342351913452, 0.17578125, 0, 0.5, 1, 1, 0.862079808425066, 0.7791434926807219, 0.28621891589557913, 0.08289450347647484, 2.649889588356018, 0.1715642362833023, 0.7710092067718506, 0.3310962915420532, 1.0474271140992641, 1.0046940445899963, 10.978327751159668, 0, 0, 0.043138470500817414, 1.186913251876831, 0.8675474524497986, 0.7549024820327759, 0.2570311278104782, 3.546875, 0, 0.4375, 4.443530201569956e-07, 0, 0.00971078799921088, 0.012271277002582792, 0.00010755200128187425, 0.01439323299928219, 454);
INSERT INTO public.sync_metric VALUES (2, 4, 1, 8, 0.0625, 0.24301259219646454, NULL, 0, 0.5, 1, 1, 0.9880780182346575, 0.8670135987430572, 0.3537144285516149, 0.20477851448372308, 0.8848692774772644, 0.19092710316181183, 1.0229060649871826, 0.3807145953178406, 1.4292813204228878, 1.0135524570941925, 11.498495101928711, 0, 0.005037783179432154, 0.10312125831858274, 3.601694941520691, 0.8251771926879883, 0.6764625906944275, 0.29224374890327454, 3.1015625, 0, 0.875, 4.599974374741578e-07, 0, 0.013497300002200063, 0.013298126999870874, 8.938799874158576e-05, 0.015187094002612866, 397);
INSERT INTO public.sync_metric VALUES (1, 7, 1, 14, 0.265625, 0.44340085983276367, 0.4921875, 0, 0.5, 1, 1, 0.9238830528738559, 0.9070114971757696, 0.9910257994796489, 0.7366963669221915, 6.203392505645752, 0.020476392470300198, 0.2904297113418579, 0.04016600549221039, 0.3966082027181983, 0.9998622536659241, 1.2254494428634644, 0, 0, 0.0015161326159583968, 1.1148186922073364, 0.9975233972072601, 0.9910978078842163, 0.3138311952352524, 3.5625, 0, 0.25, 6.484409595941543e-07, 0, 0.009731297002872452, 0.014616267999372212, 9.349199899588712e-05, 0.012694534998445306, 456);
INSERT INTO public.sync_metric VALUES (2, 5, 1, 10, 0.1484375, 0.356930136680603, NULL, 0, 0.5, 1, 1, 0.868532555803237, 0.8644588844273976, 0.035171115616933125, -0.0863590821480535, 1.4460537433624268, 0.1705467626452446, 1.2628166675567627, 0.32969242334365845, 1.770374845713377, 1.0117966532707214, 4.732794761657715, 0, 0, 0.04258427396435122, 1.815266489982605, 0.9505844712257385, 0.8789266645908356, 0.24256227910518646, 3.5, 0, 0.6875, 4.881100608145061e-07, 0, 0.009450124001887161, 0.011777587998949457, 9.548899834044278e-05, 0.014309360998595366, 448);
INSERT INTO public.sync_metric VALUES (1, 8, 1, 16, 0.546875, 0.4997538626194, NULL, 0, 0.5, 1, 1, 0.9158703862042207, 0.8339762394795691, 0.868958331706549, 0.38364428697127123, 2.607550621032715, 0.02198457531630993, 0.3035946190357208, 0.04304021596908569, 0.44057735335081816, 0.9989053010940552, 1.3768857717514038, 0, 0, 0.0028606974522250414, 0.5017279237508774, 0.9954110085964203, 0.9849818646907806, 0.2958982139825821, 3.25, 0, 0.1875, 5.598465122602647e-07, 0, 0.011616065003181575, 0.013334342998859938, 9.240299914381467e-05, 0.013298404996021418, 416);
INSERT INTO public.sync_metric VALUES (2, 6, 1, 12, 0.03125, 0.1746762990951538, NULL, 0, 0.5, 1, 1, 0.9745801694295102, 0.9074519240947246, 0.5474308026689231, 0.08042331786302584, 0.45775962620973587, 0.16064245998859406, 1.475694179534912, 0.31923753023147583, 2.091659765690565, 1.000032663345337, 11.334938049316406, 0, 0.0011185682378709316, 0.06642607599522239, 2.0589438676834106, 0.821117639541626, 0.6590825468301773, 0.31876371800899506, 3.4921875, 0, 0.875, 5.498560540218023e-07, 0, 0.0125743099997635, 0.011780316002841573, 8.178299685823731e-05, 0.014344291001179954, 447);
INSERT INTO public.sync_metric VALUES (1, 9, 1, 18, 0.609375, 0.48980751633644104, NULL, 0, 0.5, 1, 1, 0.9508079377833921, 0.9085492243394261, 0.9800992513536919, 0.23350036305200886, 2.314480185508728, 0.02447434887290001, 0.31264492869377136, 0.04834398254752159, 0.4895260510966182, 0.9963831305503845, 1.7457952499389648, 0, 0, 0.003005651058748426, 0.3999621421098709, 0.9953740835189819, 0.9850690960884094, 0.26337018609046936, 3.375, 0, 0.25, 4.583025940974039e-07, 0, 0.00988277500073309, 0.012416281999321654, 8.205099948099814e-05, 0.012136429999372922, 432);
INSERT INTO public.sync_metric VALUES (1, 10, 1, 20, 0.671875, 0.4713755249977112, NULL, 0, 0.5, 1, 1, 0.9655542899015224, 0.9390132918269343, 0.9857777490369225, 0.20207764993120833, 3.7991700172424316, 0.02620890364050865, 0.3174421787261963, 0.05196494236588478, 0.5419438583776355, 0.9999105632305145, 1.4370951652526855, 0, 0, 0.002743076067515073, 0.26510077714920044, 0.9952110350131989, 0.9849568903446198, 0.24642403423786163, 3.59375, 0, 0.0625, 4.277093239579699e-07, 0, 0.008548339999833843, 0.010948385002848227, 8.237500151153654e-05, 0.010069081999972695, 460);
INSERT INTO public.sync_metric VALUES (2, 7, 1, 14, 0.0703125, 0.2566775381565094, 0.0390625, 0, 0.5, 1, 1, 0.8819049386642277, 0.867788134082412, -0.21351159359760394, 0.007450326232241181, 1.3608829379081726, 0.15448133647441864, 1.6615803241729736, 0.29970547556877136, 2.4006224386394024, 0.9886662065982819, 10.250261306762695, 0, 0.0010964912362396717, 0.1182947009803496, 5.81635856628418, 0.8017415702342987, 0.6809475868940353, 0.30622443556785583, 3.5625, 0, 0.8125, 4.5417442606776603e-07, 0, 0.009071524000319187, 0.01233528300144826, 9.582799975760281e-05, 0.012597842996910913, 456);
INSERT INTO public.sync_metric VALUES (1, 11, 1, 22, 0.546875, 0.4997538626194, 0.55859375, 0, 0.5, 1, 1, 0.957498502131624, 0.9444802571927053, 0.87934981822659, 0.08048571889402244, 3.483368158340454, 0.02594033069908619, 0.32561278343200684, 0.05132647603750229, 0.5938245197758079, 0.9997859001159668, 1.8124665021896362, 0, 0, 0.004173170309934696, 0.2760864347219467, 0.9926596581935883, 0.9724310636520386, 0.2939363121986389, 3.4921875, 0, 0, 5.791895887341525e-07, 0, 0.010334883001632988, 0.013430769999104086, 7.777599967084825e-05, 0.013729979997151531, 447);
INSERT INTO public.sync_metric VALUES (2, 8, 1, 16, 0.015625, 0.12450689822435379, NULL, 0, 0.5, 1, 1, 0.9026443139957061, 0.9080760633035185, -0.6745776394902615, -0.6035077548766871, 0.8819052875041962, 0.13999556750059128, 1.8322854042053223, 0.27310335636138916, 2.680613573640585, 0.9906493425369263, 14.49436092376709, 0, 0.002518891589716077, 0.2506360411645779, 4.031206846237183, 0.6879237294197083, 0.5794238671660423, 0.26154274493455887, 3.1015625, 0, 0.875, 4.5809818516318046e-07, 0, 0.01232359300047392, 0.012041590001899749, 8.760700075072236e-05, 0.02065562899588258, 397);
INSERT INTO public.sync_metric VALUES (1, 12, 1, 24, 0.7421875, 0.43914902210235596, NULL, 0, 0.5, 1, 1, 0.9456574633694634, 0.9477109028399149, 0.9636269471270289, 0.27933985853900556, 3.072238326072693, 0.023175307549536228, 0.3366987109184265, 0.04571664705872536, 0.6401751348748803, 1.0021024942398071, 1.554305911064148, 0, 0, 0.001177934347765626, 0.2358851060271263, 0.9976240396499634, 0.9907854795455933, 0.21138925850391388, 3.4375, 0, 0.1875, 4.1708563003339805e-07, 0, 0.013114616001985269, 0.012356515999272233, 0.0008553439984098077, 0.01633088499875157, 440);
INSERT INTO public.sync_metric VALUES (2, 9, 1, 18, 0, 0, NULL, 0, 0.5, 1, 1, 0.9999998311669684, 1.00000021631373, NULL, NULL, 0, 0.11644281074404716, 1.9909323453903198, 0.23288556933403015, 2.9134991951286793, 0.9790560007095337, 3.126458168029785, 0, 0, 0.02572587318739333, 3.919399380683899, 0.9600935578346252, 0.9107797145843506, 0.2699465826153755, 3.078125, 0, 1, 5.011532380194694e-07, 0, 0.00947414199981722, 0.011942497996642487, 9.680699804448523e-05, 0.013286007997521665, 394);
INSERT INTO public.sync_metric VALUES (2, 10, 1, 20, 0.0078125, 0.0883883461356163, NULL, 0, 0.5, 1, 1, 0.9922852482866434, 0.9028165463368468, 0.3561275782913711, NULL, 0.42455288022756577, 0.11583792045712471, 2.129831552505493, 0.23122870922088623, 3.1451750360429287, 0.997144877910614, 6.047662734985352, 0, 0.0011363636003807187, 0.1714329570537235, 422.13785314559937, 0.8764325976371765, 0.7449071854352951, 0.2916210740804672, 3.4375, 0, 0.9375, 7.21756975963217e-07, 0, 0.01239555799838854, 0.011730348000128288, 9.161200068774633e-05, 0.01656554600049276, 440);
INSERT INTO public.sync_metric VALUES (1, 13, 1, 26, 0.6015625, 0.4915000796318054, NULL, 0, 0.5, 1, 1, 0.9334556584948429, 0.912772949584024, 0.8438659559843721, 0.5529715754733195, 3.551045060157776, 0.02267697360366583, 0.34659165143966675, 0.04459352418780327, 0.685529082082212, 0.99770388007164, 1.3371601104736328, 0, 0, 0.004534674342906767, 0.1579696238040924, 0.9941096603870392, 0.9817623794078827, 0.30998797714710236, 3.2421875, 0, 0.0625, 4.889810725217103e-07, 0, 0.010843146999832243, 0.020632196003134595, 0.0018031060026260093, 0.016037479996157344, 415);
INSERT INTO public.sync_metric VALUES (1, 14, 1, 28, 0.5234375, 0.5014128684997559, NULL, 0, 0.5, 1, 1, 0.950223141326232, 0.93478302815282, 0.9398124942422192, 0.3746452406197633, 3.8928778171539307, 0.022249571979045868, 0.3544677793979645, 0.04394197463989258, 0.7300282260403037, 0.9979610443115234, 1.2828624248504639, 0, 0, 0.002371195703892891, 0.4022555351257324, 0.9970242381095886, 0.9898982346057892, 0.24030859023332596, 3.4375, 0, 0.3125, 4.280121288502414e-07, 0, 0.010885258001508191, 0.01209988999835332, 8.574900130042806e-05, 0.013629497996589635, 440);
INSERT INTO public.sync_metric VALUES (1, 15, 1, 30, 0.6640625, 0.47417303919792175, 0.609375, 0, 0.5, 1, 1, 0.9552864082242782, 0.9063785500262495, 0.9612598155462091, 0.21481638893773267, 3.821490526199341, 0.023488699458539486, 0.3644459843635559, 0.046450305730104446, 0.7770056249573827, 0.9996967315673828, 1.5240370035171509, 0, 0, 0.0021079967266684984, 0.07574864104390144, 0.9962605834007263, 0.9871993958950043, 0.24248968064785004, 3.484375, 0, 0.1875, 5.263976277092297e-07, 0, 0.012451956001314102, 0.012875582000560826, 8.485199941787869e-05, 0.015162989002419636, 446);
INSERT INTO public.sync_metric VALUES (1, 16, 1, 32, 0.65625, 0.47682511806488037, NULL, 0, 0.5, 1, 1, 0.9484148623457693, 0.95505051031491, 0.9751770778806031, 0.2762560828189026, 3.904017448425293, 0.0218395022675395, 0.37736403942108154, 0.04311216622591019, 0.8206846294924617, 1.0019951462745667, 1.3796653747558594, 0, 0, 0.0013022636996096262, 0.23399372398853302, 0.9974225461483002, 0.9910695254802704, 0.2107180580496788, 3.4375, 0, 0.25, 4.430611966199649e-07, 0, 0.010942029999569058, 0.015139611998165492, 0.00017231099991477095, 0.01485596800193889, 440);
INSERT INTO public.sync_metric VALUES (1, 17, 1, 34, 0.6484375, 0.4793342351913452, NULL, 0, 0.5, 1, 1, 0.9441721299543036, 0.9250602413166619, 0.9266024226019846, 0.450193130621846, 2.110724449157715, 0.021981718949973583, 0.3907593786716461, 0.043346188962459564, 0.8646480673924088, 0.9983583688735962, 3.596107244491577, 0, 0, 0.004494755528978609, 0.16198964416980743, 0.9876575767993927, 0.9824326038360596, 0.31332048773765564, 3.25, 0, 0.5, 4.070254533417028e-07, 0, 0.010606567997456295, 0.013509512999007711, 0.0014331650017993525, 0.013503551002941094, 416);
INSERT INTO public.sync_metric VALUES (1, 18, 1, 36, 0.640625, 0.481702595949173, NULL, 0, 0.5, 1, 1, 0.9484491979643088, 0.9258125825924957, 0.6176629767139419, -0.07880624050880103, 2.3217267990112305, 0.023585584945976734, 0.40363821387290955, 0.046559374779462814, 0.9118192372843623, 0.9973641037940979, 1.8520946502685547, 0, 0, 0.0036805795972439668, 0.35068483650684357, 0.9936937391757965, 0.9762483537197113, 0.21288905292749405, 3.625, 0, 0.25, 3.992993242718512e-07, 0, 0.008870700999977998, 0.01245232200017199, 0.0008018970002012793, 0.013028891000431031, 464);
INSERT INTO public.sync_metric VALUES (1, 19, 1, 38, 0.640625, 0.481702595949173, 0.65234375, 0, 0.5, 1, 1, 0.9437912516646529, 0.9339540629508396, 0.9872613258133681, 0.41456941451378765, 2.8634181022644043, 0.021767957136034966, 0.41422489285469055, 0.04291978105902672, 0.9553551515564322, 0.9976460933685303, 1.3326102495193481, 0, 0, 0.0005871640170625408, 0.32207415997982025, 0.9989092648029327, 0.9964538216590881, 0.21234328299760818, 3.375, 0, 0.125, 4.867321194979013e-07, 0, 0.009846567998465616, 0.012541757001599763, 8.838799840305e-05, 0.013150582999514882, 432);
INSERT INTO public.sync_metric VALUES (2, 11, 1, 22, 0.0078125, 0.0883883461356163, 0.01953125, 0, 0.5, 1, 1, 0.9804964865705383, 0.7939170681205333, 0.7815493035742922, 0.0015671417512835835, 0.5243793502449989, 0.12269020453095436, 2.2574212551116943, 0.2441810667514801, 3.3905554451048374, 1.0127849280834198, 10.497347831726074, 0, 0.0011467889416962862, 0.07859797030703522, 4.979198455810547, 0.7926217913627625, 0.6248741149902344, 0.26834139227867126, 3.40625, 0, 0.9375, 4.2853713466683985e-07, 0, 0.010011246002250118, 0.013265974997921148, 0.0008923750028770883, 0.015906521999568213, 436);
INSERT INTO public.sync_metric VALUES (2, 12, 1, 24, 0.0546875, 0.22826264798641205, NULL, 0, 0.5, 1, 1, 0.9841049525843242, 0.8746374585765381, -0.9337473937151707, -0.3173312395340647, 0.5736047774553299, 0.10901179537177086, 2.370727062225342, 0.2171589583158493, 3.608579035848379, 0.9910113215446472, 4.939484596252441, 0, 0, 0.05917074903858665, 5.471391439437866, 0.9218621253967285, 0.7958424091339111, 0.21124423295259476, 3.34375, 0, 0.9375, 3.9845824062467727e-07, 0, 0.0143412969991914, 0.01282789000106277, 8.801899821264669e-05, 0.017317059995548334, 428);
INSERT INTO public.sync_metric VALUES (2, 13, 1, 26, 0.015625, 0.12450689822435379, NULL, 0, 0.5, 1, 1, 0.7317207829051052, 0.7612180006813464, -0.8395706909198896, 0.09383177730307644, 0.7621895372867584, 0.09820666164159775, 2.4699172973632812, 0.18281470239162445, 3.8049923591315746, 0.994868814945221, 1.9677337408065796, 0, 0, 0.048443783074740836, 5.370306491851807, 0.973301112651825, 0.9223879277706146, 0.2896094024181366, 3.1328125, 0, 0.9375, 4.521568257587205e-07, 0, 0.00958549899951322, 0.011901493002369534, 8.268300007330254e-05, 0.013209108001319692, 401);
INSERT INTO public.sync_metric VALUES (2, 14, 1, 28, 0, 0, NULL, 0, 0.5, 1, 1, 0.9999999431777079, 0.9999999357416547, NULL, NULL, 0, 0.0804709866642952, 2.5581884384155273, 0.1609419882297516, 3.965934332460165, 1.0032459497451782, 1.457032561302185, 0, 0, 0.0034504092764859827, 5.214239120483398, 0.9951277673244476, 0.9842851758003235, 0.27063266932964325, 3.1640625, 0, 1, 3.693543533245247e-07, 0, 0.007219011997221969, 0.008331699002155801, 6.111300172051415e-05, 0.009183406000374816, 405);
INSERT INTO public.sync_metric VALUES (2, 15, 1, 30, 0, 0, 0.00390625, 0, 0.5, 1, 1, 1.0000002975854745, 1.0000001027205332, NULL, NULL, 0, 0.06678948923945427, 2.6366775035858154, 0.13357901573181152, 4.099513310939074, 1.022085428237915, 21.09755516052246, 0, 0, 0.050216551871139437, 5.9683802127838135, 0.7476192265748978, 0.6296455562114716, 0.27113184332847595, 3.4375, 0, 1, 5.799099085379567e-07, 0, 0.006283850998443086, 0.009624067999538966, 6.536799992318265e-05, 0.009119575002841884, 440);
INSERT INTO public.sync_metric VALUES (2, 16, 1, 32, 0, 0, NULL, 0, 0.5, 1, 1, 0.9999998383049566, 0.9999999122719746, NULL, NULL, 0, 0.05541891045868397, 2.7050886154174805, 0.11083781719207764, 4.2103511318564415, 1.0009150505065918, 2.348789930343628, 0, 0, 0.0022313650698266344, 7.399015665054321, 0.9938163161277771, 0.980435699224472, 0.2689221054315567, 3.3046875, 0, 1, 3.8048011674618465e-07, 0, 0.007848577999538975, 0.008149353998305742, 0.00011666700083878823, 0.009977992998756235, 423);
INSERT INTO public.sync_metric VALUES (2, 17, 1, 34, 0.03125, 0.1746762990951538, NULL, 0, 0.5, 1, 1, 0.94522338945459, 0.4578383127304568, -0.05388083287789752, NULL, 0.595228299498558, 0.10055535286664963, 2.7735536098480225, 0.19834065437316895, 4.411461837589741, 1.016459733247757, 11.692166328430176, 0, 0, 0.16698639094883552, 52.9478485584259, 0.7673929333686829, 0.6777027100324631, 0.3898039758205414, 3.15625, 0, 0.875, 6.212675884853525e-07, 0, 0.005930146999162389, 0.008255968998128083, 6.30470021860674e-05, 0.008557122997444822, 404);
INSERT INTO public.sync_metric VALUES (2, 18, 1, 36, 0.03125, 0.1746762990951538, NULL, 0, 0.5, 1, 1, 0.9828426200922403, 0.7713623808690598, 0.027559180662820638, 0.04763325182117544, 0.922551117837429, 0.11499107256531715, 2.8456692695617676, 0.22899466753005981, 4.641443982720375, 1.0044084191322327, 4.013988018035889, 0, 0.004651162773370743, 0.04601007327474363, 6.995464563369751, 0.9340771436691284, 0.8250563740730286, 0.2617662474513054, 3.359375, 0, 0.875, 4.79746859127772e-07, 0, 0.018133023000700632, 0.011844337001093663, 8.00199995865114e-05, 0.021516440003324533, 430);
INSERT INTO public.sync_metric VALUES (2, 19, 1, 38, 0, 0, 0, 0, 0.5, 1, 1, 0.9999997779289246, 0.999999751355755, NULL, NULL, 0, 0.09656115993857384, 2.9180381298065186, 0.1931222826242447, 4.834566302597523, 0.9998960196971893, 3.3240599632263184, 0, 0, 0.014531826600528673, 6.499480962753296, 0.9740319848060608, 0.9253841936588287, 0.29295705258846283, 3.53125, 0, 1, 3.6561135630108765e-07, 0, 0.009238471997377928, 0.012228014998981962, 8.003900074982084e-05, 0.01235544600058347, 452);
INSERT INTO public.sync_metric VALUES (3, 0, 1, 0, 0.3984375, 0.4915000796318054, 0.45703125, 0, 3.5, 7, 7, 0.9723673387259073, NULL, 0.8668736472783859, NULL, 2.527830310165882, 0.026160122244618833, 0.1942487210035324, 0.1942487210035324, 0.20928097795695066, 0.9448083117604256, 8.240584373474121, 0, 0.0023535564832855016, 0.11697535243005736, 1.2610577688465128, 0.8974860087037086, 0.7530501745641232, 0.29229240491986275, 3.734375, 0, 0.0625, 4.900348926639708e-07, 0, 0.010580564001429593, 0.05088869999963208, 9.513300028629601e-05, 0.012837831000069855, 478);
INSERT INTO public.sync_metric VALUES (4, 0, 1, 0, 0.3984375, 0.4915000796318054, 0.3515625, 0, 3.5, 7, 7, 0.831959875865081, NULL, 0.33890783696500115, NULL, 2.2995917350053787, 0.12195709394291043, 0.7430728077888489, 0.7430728077888489, 0.9756567515432835, 0.8658469095826149, 8.471356391906738, 0, 0.004968619236024097, 0.45344900898639356, 4901.066743761301, 0.7875229120254517, 0.5057858489453793, 0.2916943393647671, 3.734375, 0, 0.0625, 4.900348926639708e-07, 0, 0.00859955900159548, 0.036852352994174, 9.508400034974329e-05, 0.013162021001335233, 478);
INSERT INTO public.sync_metric VALUES (3, 1, 1, 8, 0.453125, 0.4997538626194, 0.5546875, 0, 3.5, 7, 7, 0.9684609444833002, 0.9251657183907057, 0.9154934817695783, 0.4400635999217294, 2.504606507718563, 0.03696434618905187, 0.3737487494945526, 0.259941428899765, 0.5049957474693656, 0.9606388658285141, 4.204215049743652, 0, 0.0033482143480796367, 0.22969836473936178, 0.8483024127781391, 0.8736300021409988, 0.6249804608523846, 0.25410917960107327, 3.5, 0, 0.125, 5.884174925085972e-07, 0, 0.014577539997844724, 0.04776063300232636, 8.713799979886971e-05, 0.016435890000138897, 448);
INSERT INTO public.sync_metric VALUES (4, 1, 1, 8, 0.4921875, 0.5019033551216125, 0.140625, 0, 3.5, 7, 7, 0.9011368693501032, 0.8245372698443223, 0.2106980264683004, -0.432491428583635, 1.5850833505392075, 0.1638000961393118, 1.6253952980041504, 1.148607611656189, 2.286057520657778, 1.015477530658245, 92.59339141845703, 0, 0.010820045572472736, 0.604054980911341, 4400.681039527059, 0.3269752077758312, 0.2506431685760617, 0.20175751112401485, 3.4296875, 0, 0.25, 4.018502863800677e-07, 0, 0.01261215999693377, 0.048048785003629746, 9.65409999480471e-05, 0.015940711000439478, 439);
INSERT INTO public.sync_metric VALUES (3, 2, 1, 16, 0.625, 0.4860251843929291, 0.45703125, 0, 3.5, 7, 7, 0.9686720969508906, 0.9212437604137528, 0.90584244924614, -0.04753372836224703, 1.8783416450023651, 0.033076949417591095, 0.4729740023612976, 0.2359587848186493, 0.7696113428100944, 0.9491444602608681, 2.69921875, 0, 0.003355704713612795, 0.10534476011527291, 0.22790166176855564, 0.9281919002532959, 0.7576654031872749, 0.2601524814963341, 3.4921875, 0, 0.125, 3.530670369400468e-07, 0, 0.009533358996122843, 0.05019143199751852, 8.797500049695373e-05, 0.017847080998762976, 447);
INSERT INTO public.sync_metric VALUES (4, 2, 1, 16, 0.1953125, 0.3979988098144531, 0.0546875, 0, 3.5, 7, 7, 0.867408975203037, 0.7448796969159677, -0.2774122268397676, 0.09385013851444596, 1.0130021907389164, 0.12394905835390091, 2.1675055027008057, 0.8322848081588745, 3.277649987488985, 0.8847887143492699, 16.97316551208496, 0, 0.014178240904584527, 0.995067311450888, 171.62737967073917, 0.5025525726377964, 0.250629048794508, 0.22697748243808746, 3.375, 0, 0.8125, 4.845805960940197e-07, 0, 0.005912705000810092, 0.03153569100322784, 6.175800081109628e-05, 0.010202457997365855, 432);
INSERT INTO public.sync_metric VALUES (4, 3, 1, 24, 0, 0, 0.0078125, 0, 3.5, 7, 7, 0.9999998691118831, 0.9999999230183664, NULL, NULL, 0, 0.06783423479646444, 2.5166401863098145, 0.5426735877990723, 3.8203238658607006, 0.9535473734140396, 9.744503021240234, 0, 0, 0.1141369708348765, 6.092821419239044, 0.8230163678526878, 0.8077233135700226, 0.194901617243886, 3.5625, 0.1875, 1, 4.507400319653243e-07, 0, 0.009103042997594457, 0.03166191700438503, 8.894599886843935e-05, 0.011358604995621135, 456);
INSERT INTO public.sync_metric VALUES (3, 3, 1, 24, 0.5546875, 0.4989531338214874, 0.5234375, 0, 3.5, 7, 7, 0.9787600345048421, 0.9407225603838403, 0.8952034151364808, 0.14892110838905667, 1.45127784460783, 0.03277566935867071, 0.5684077739715576, 0.24391528964042664, 1.03181669767946, 0.9814830347895622, 6.5631422996521, 0, 0.0037634408799931407, 0.05185388383690377, 0.34363280422985554, 0.9408387616276741, 0.8325738459825516, 0.20978925749659538, 3.6328125, 0, 0.25, 3.8745008623664035e-07, 0, 0.010618419997626916, 0.04765432500789757, 8.523900032741949e-05, 0.015172618001088267, 465);
INSERT INTO public.sync_metric VALUES (4, 4, 1, 32, 0.0078125, 0.0883883461356163, 0.00390625, 0, 3.5, 7, 7, 0.9572631801769788, 0.31225326578699325, 0.47500061637072793, NULL, 0.3621248695999384, 0.08529142290353775, 2.724463701248169, 0.6439623236656189, 4.502655249089003, 0.9586248472332954, 9.361144065856934, 0, 0.0016447368543595076, 0.8804020658136005, 8.915473341941833, 0.784199595451355, 0.45184564776718616, 0.18813835456967354, 3.5625, 0.2890625, 0.9375, 5.159484999239794e-07, 0, 0.007345617996179499, 0.044782566004869295, 7.124799958546646e-05, 0.011682271993777249, 456);
INSERT INTO public.sync_metric VALUES (3, 4, 1, 32, 0.3984375, 0.4915000796318054, 0.49609375, 0, 3.5, 7, 7, 0.9780689666902881, 0.9341809320276478, 0.888214120013406, -0.02592369525736479, 1.6383546516299248, 0.035011391155421734, 0.6518250703811646, 0.258851557970047, 1.311907826922834, 0.9608928486704826, 7.474325656890869, 0, 0.007075471803545952, 0.12657618208327487, 1.568691648542881, 0.8820744305849075, 0.6943624727427959, 0.2994140237569809, 3.3125, 0, 0.25, 5.281910375742882e-07, 0, 0.01337224699818762, 0.04703618199710036, 8.936399899539538e-05, 0.015652297999622533, 424);
INSERT INTO public.sync_metric VALUES (1, 1, 1, 2, 0.5546875, 0.4989531338214874, NULL, 0, 0.5, 1, 1, 0.9725027795077944, NULL, 0.991611426649774, 0.5443256589564981, 4.468570590019226, 0.020164132118225098, 0.0587102510035038, 0.04005498066544533, 0.06203580368310213, 0.9961827099323273, 'NaN', 0, 0, 'Infinity', 0.014968340285122395, 0.9947593510150909, 0.9829024374485016, '-Infinity', 3.6015625, 0, 0.0625, 3.140761748454679e-07, 0, 0.01501069999721949, 0.012217964002047665, 0.00010015100269811228, 0.01981944700310123, 461);
INSERT INTO public.sync_metric VALUES (5, 0, 1, 0, 0.3984375, 0.4915000796318054, NULL, 0, 1.5, 3, 3, 0.9861951335354503, NULL, 0.9909872570131696, NULL, 3.8295912742614746, 0.017435232875868678, 0.06898139417171478, 0.06898139417171478, 0.06974093150347471, 0.989189937710762, 1.8993358612060547, 0, 0, 0.012148719804906522, 0.024347508122446015, 0.9835966676473618, 0.9417030662298203, 0.2705167606472969, 3.734375, 0, 0.0625, 4.900348926639708e-07, 0, 0.014426507997995941, 0.028734372008329956, 0.00012065099872415885, 0.020010701005958254, 478);
INSERT INTO public.sync_metric VALUES (5, 1, 1, 4, 0.6484375, 0.4793342351913452, 0.53515625, 0, 1.5, 3, 3, 0.9592284385844998, 0.9038594698517093, 0.8292661550102132, 0.3998053439750034, 3.0490493178367615, 0.032567230984568596, 0.18047258257865906, 0.12445437908172607, 0.2000098554417491, 0.9788432270288467, 4.402815818786621, 0, 0, 0.035779766039989815, 0.8814103286713362, 0.9512864947319031, 0.8252967745065689, 0.2655726671218872, 3.5859375, 0, 0.125, 4.6358985628103255e-07, 0, 0.01153734100444126, 0.01896527899953071, 0.00032967399965855293, 0.021009859003243037, 459);
INSERT INTO public.sync_metric VALUES (5, 2, 1, 8, 0.546875, 0.4997538626194, NULL, 0, 1.5, 3, 3, 0.962115746973493, 0.948743373743831, 0.9339737035775673, 0.6594968143430243, 4.069191753864288, 0.03624620009213686, 0.2796076536178589, 0.1385357677936554, 0.34499465581029654, 1.0132187902927399, 20.331371307373047, 0, 0.005148741533048451, 0.07258035941060703, 0.5430736318230629, 0.8001668304204941, 0.6775524169206619, 0.28019336611032486, 3.4140625, 0, 0.1875, 5.392661819314526e-07, 0, 0.010174839004321257, 0.01631753399851732, 6.49980029265862e-05, 0.012394993998896098, 437);
SELECT pg_catalog.setval('public.cell_id_seq', 5, true);
SELECT pg_catalog.setval('public.fit_id_seq', 1, true);
SELECT pg_catalog.setval('public.run_id_seq', 5, true);
SELECT pg_catalog.setval('public.sweep_id_seq', 2, true);
ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT pk_attempt PRIMARY KEY (run_id, number);
ALTER TABLE ONLY public.cell
    ADD CONSTRAINT pk_cell PRIMARY KEY (id);
ALTER TABLE ONLY public.evaluation
    ADD CONSTRAINT pk_evaluation PRIMARY KEY (run_id, learner_step);
ALTER TABLE ONLY public.fit
    ADD CONSTRAINT pk_fit PRIMARY KEY (id);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT pk_run PRIMARY KEY (id);
ALTER TABLE ONLY public.sweep
    ADD CONSTRAINT pk_sweep PRIMARY KEY (id);
ALTER TABLE ONLY public.sync_metric
    ADD CONSTRAINT pk_sync_metric PRIMARY KEY (run_id, sync);
ALTER TABLE ONLY public.stalesweep_version
    ADD CONSTRAINT stalesweep_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.cell
    ADD CONSTRAINT uq_cell_sweep_id_model_k_eta_axes UNIQUE (sweep_id, model, k, eta, axes);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT uq_run_cell_id_seed UNIQUE (cell_id, seed);
ALTER TABLE ONLY public.sweep
    ADD CONSTRAINT uq_sweep_name UNIQUE (name);
ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT fk_attempt_run_id_run FOREIGN KEY (run_id) REFERENCES public.run(id);
ALTER TABLE ONLY public.cell
    ADD CONSTRAINT fk_cell_sweep_id_sweep FOREIGN KEY (sweep_id) REFERENCES public.sweep(id);
ALTER TABLE ONLY public.evaluation
    ADD CONSTRAINT fk_evaluation_run_id_attempt_attempt FOREIGN KEY (run_id, attempt) REFERENCES public.attempt(run_id, number);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT fk_run_cell_id_cell FOREIGN KEY (cell_id) REFERENCES public.cell(id);
ALTER TABLE ONLY public.sync_metric
    ADD CONSTRAINT fk_sync_metric_run_id_attempt_attempt FOREIGN KEY (run_id, attempt) REFERENCES public.attempt(run_id, number);
