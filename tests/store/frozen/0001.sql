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
    val_n bigint NOT NULL,
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
    created_at timestamp with time zone NOT NULL
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
    reward double precision NOT NULL,
    reward_std double precision NOT NULL,
    val_reward double precision,
    lag_min bigint NOT NULL,
    lag_mean double precision NOT NULL,
    lag_p99 bigint NOT NULL,
    lag_max bigint NOT NULL,
    cosine_update_within double precision,
    cosine_update_across double precision,
    cosine_gradient_within double precision,
    cosine_gradient_across double precision,
    gradient_norm double precision NOT NULL,
    update_norm double precision NOT NULL,
    drift_from_start double precision NOT NULL,
    drift_in_cycle double precision NOT NULL,
    path_length double precision NOT NULL,
    ratio_mean double precision NOT NULL,
    ratio_max double precision NOT NULL,
    clip_fraction_low double precision NOT NULL,
    clip_fraction_high double precision NOT NULL,
    kl_behavior double precision NOT NULL,
    kl_reference double precision NOT NULL,
    ess_token double precision NOT NULL,
    ess_sequence double precision NOT NULL,
    entropy double precision NOT NULL,
    completion_tokens double precision NOT NULL,
    truncated_fraction double precision NOT NULL,
    zero_std_fraction double precision NOT NULL,
    engine_gap double precision NOT NULL,
    dropped_groups bigint NOT NULL,
    rollout_s double precision NOT NULL,
    learner_s double precision NOT NULL,
    sync_s double precision NOT NULL,
    idle_s double precision NOT NULL,
    rollout_tokens bigint NOT NULL,
    CONSTRAINT ck_sync_metric_learner_step CHECK ((learner_step >= 0)),
    CONSTRAINT ck_sync_metric_sync CHECK ((sync >= 0))
);
ALTER TABLE ONLY public.cell ALTER COLUMN id SET DEFAULT nextval('public.cell_id_seq'::regclass);
ALTER TABLE ONLY public.fit ALTER COLUMN id SET DEFAULT nextval('public.fit_id_seq'::regclass);
ALTER TABLE ONLY public.run ALTER COLUMN id SET DEFAULT nextval('public.run_id_seq'::regclass);
ALTER TABLE ONLY public.sweep ALTER COLUMN id SET DEFAULT nextval('public.sweep_id_seq'::regclass);
INSERT INTO public.attempt VALUES (4, 1, 'local', '6855', NULL, 0, 'vm', 6858, 2624534, '2026-11-22 22:58:52.546713+00', '2026-11-22 22:58:52.665923+00', '2026-11-22 22:58:53.322993+00', '2026-11-22 22:58:53.322993+00', 'collapsed', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.10999289500250597, '0.1.0');
INSERT INTO public.attempt VALUES (5, 1, 'local', '6947', NULL, 0, 'vm', 6951, 2625903, '2026-11-22 22:59:04.388177+00', '2026-11-22 22:59:04.580034+00', '2026-11-22 22:59:04.792008+00', '2026-11-22 22:59:04.792008+00', 'interrupted', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.18348252099895035, '0.1.0');
INSERT INTO public.attempt VALUES (2, 1, 'local', '6855', NULL, 0, 'vm', 6858, 2624534, '2026-11-22 22:58:51.431187+00', '2026-11-22 22:58:51.566081+00', '2026-11-22 22:58:52.53149+00', '2026-11-22 22:58:52.53149+00', 'collapsed', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.12882478900064598, '0.1.0');
INSERT INTO public.attempt VALUES (3, 1, 'local', '6856', NULL, 0, 'vm', 6857, 2624532, '2026-11-22 22:58:51.693476+00', '2026-11-22 22:58:51.929388+00', '2026-11-22 22:58:52.608528+00', '2026-11-22 22:58:52.608528+00', 'stable', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.2268258580006659, '0.1.0');
INSERT INTO public.attempt VALUES (1, 1, 'local', '6855', NULL, 0, 'vm', 6858, 2624534, '2026-11-22 22:58:50.586988+00', '2026-11-22 22:58:50.772236+00', '2026-11-22 22:58:51.424474+00', '2026-11-22 22:58:51.424474+00', 'stable', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.1783009309983754, '0.1.0');
INSERT INTO public.cell VALUES (1, 1, 0, 'tiny', 2, 0.0005, '{}');
INSERT INTO public.cell VALUES (2, 1, 1, 'tiny', 2, 0.004, '{}');
INSERT INTO public.cell VALUES (3, 1, 2, 'tiny', 8, 0.0005, '{}');
INSERT INTO public.cell VALUES (4, 1, 3, 'tiny', 8, 0.004, '{}');
INSERT INTO public.cell VALUES (5, 2, 0, 'tiny', 4, 0.0005, '{}');
INSERT INTO public.evaluation VALUES (1, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (1, 8, 1, 0.6328125, 256);
INSERT INTO public.evaluation VALUES (1, 16, 1, 0.4921875, 256);
INSERT INTO public.evaluation VALUES (1, 24, 1, 0.55859375, 256);
INSERT INTO public.evaluation VALUES (1, 32, 1, 0.609375, 256);
INSERT INTO public.evaluation VALUES (1, 40, 1, 0.65234375, 256);
INSERT INTO public.evaluation VALUES (2, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (2, 8, 1, 0.17578125, 256);
INSERT INTO public.evaluation VALUES (2, 16, 1, 0.0390625, 256);
INSERT INTO public.evaluation VALUES (3, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (3, 8, 1, 0.45703125, 256);
INSERT INTO public.evaluation VALUES (2, 24, 1, 0.01953125, 256);
INSERT INTO public.evaluation VALUES (3, 16, 1, 0.5546875, 256);
INSERT INTO public.evaluation VALUES (2, 32, 1, 0.00390625, 256);
INSERT INTO public.evaluation VALUES (3, 24, 1, 0.45703125, 256);
INSERT INTO public.evaluation VALUES (3, 32, 1, 0.5234375, 256);
INSERT INTO public.evaluation VALUES (2, 40, 1, 0, 256);
INSERT INTO public.evaluation VALUES (3, 40, 1, 0.49609375, 256);
INSERT INTO public.evaluation VALUES (4, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (4, 8, 1, 0.3515625, 256);
INSERT INTO public.evaluation VALUES (4, 16, 1, 0.140625, 256);
INSERT INTO public.evaluation VALUES (4, 24, 1, 0.0546875, 256);
INSERT INTO public.evaluation VALUES (4, 32, 1, 0.0078125, 256);
INSERT INTO public.evaluation VALUES (4, 40, 1, 0.00390625, 256);
INSERT INTO public.evaluation VALUES (5, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (5, 8, 1, 0.53515625, 256);
INSERT INTO public.fit VALUES (1, '2026-11-22 22:58:57.09772+00', '["finished"]', '[1, 2, 3, 4]', '0.1.0', 'half', '{"models": {"tiny": {"cells": [{"k": 2, "eta": 0.0005, "axes": {}, "n_runs": 1, "n_collapsed": 0, "n_degraded": 0, "n_left_out": 0, "horizon": 40, "collapse_step": null, "collapse_sync": null, "eta_k": 0.001, "eta_T": null, "p_collapse": 0.0}, {"k": 2, "eta": 0.004, "axes": {}, "n_runs": 1, "n_collapsed": 1, "n_degraded": 0, "n_left_out": 0, "horizon": 40, "collapse_step": {"lo": 0, "hi": 8, "median": 8}, "collapse_sync": 4, "eta_k": 0.008, "eta_T": 0.032, "p_collapse": 1.0}, {"k": 8, "eta": 0.0005, "axes": {}, "n_runs": 1, "n_collapsed": 0, "n_degraded": 0, "n_left_out": 0, "horizon": 40, "collapse_step": null, "collapse_sync": null, "eta_k": 0.004, "eta_T": null, "p_collapse": 0.0}, {"k": 8, "eta": 0.004, "axes": {}, "n_runs": 1, "n_collapsed": 1, "n_degraded": 0, "n_left_out": 0, "horizon": 40, "collapse_step": {"lo": 8, "hi": 16, "median": 16}, "collapse_sync": 2, "eta_k": 0.032, "eta_T": 0.064, "p_collapse": 1.0}], "local": {"exponent": {"estimate": 0.0, "se": null, "ci95": null, "identified_set": [-1.5000000000014433, 1.5000000000014433]}, "constant": {"estimate": 0.00565685424949238, "se": null, "ci95": null, "identified_set": [0.004, 0.008]}, "p_exponent_is_1": null, "brackets": [{"k": 2, "eta_stable": 0.0005, "eta_collapsed": 0.004}, {"k": 8, "eta_stable": 0.0005, "eta_collapsed": 0.004}], "separable": true}, "horizon": {"eta_exponent": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "k_exponent": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "constant": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "prefactor": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "sigma": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "p_law": null, "law_in_set": null, "n_collapsed": 2, "n_censored": 2, "collapsed_only": {"eta_exponent": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "k_exponent": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "constant": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "prefactor": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "sigma": {"estimate": null, "se": null, "ci95": null, "identified_set": null}, "p_law": null, "law_in_set": null, "n_collapsed": 2, "n_censored": 0}, "cv_eta_T": 0.4714045207910317}, "two_constraint": {"cells_right": null, "cells": null}, "regime": {"cosine_auc": null, "drift_exponent": {"collapsed": null, "stable": null}}, "warnings": ["All collapsed runs share eta=0.004: how T* depends on eta cannot be told; run other eta at the same k until a second one collapses.", "Every cell was run with one seed only, so how often it collapses is not known; add seeds to the grid."]}}, "runs": 4, "left_out": []}');
INSERT INTO public.run VALUES (1, 1, 0, 'stable', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 2, "eta": 0.0005, "seed": 0, "horizon": 40, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', 'c7b4f1f4c67f727d', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "array_parallelism": 256, "slurm": {}}', 40, 40, NULL, NULL, NULL, 'half', NULL, 1, '0.1.0', NULL, '2026-11-22 22:58:51.423314+00');
INSERT INTO public.run VALUES (4, 4, 0, 'collapsed', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 8, "eta": 0.004, "seed": 0, "horizon": 40, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', '9284709e8d72cc63', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "array_parallelism": 256, "slurm": {}}', 40, 40, 16, 8, 2, 'half', NULL, 1, '0.1.0', NULL, '2026-11-22 22:58:53.322079+00');
INSERT INTO public.run VALUES (3, 3, 0, 'stable', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 8, "eta": 0.0005, "seed": 0, "horizon": 40, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', 'bd91b0830e24d3a2', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "array_parallelism": 256, "slurm": {}}', 40, 40, NULL, NULL, NULL, 'half', NULL, 1, '0.1.0', NULL, '2026-11-22 22:58:52.60716+00');
INSERT INTO public.run VALUES (5, 5, 0, 'pending', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 4, "eta": 0.0005, "seed": 0, "horizon": 160, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', '5d47cf9563412c21', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "array_parallelism": 256, "slurm": {}}', 160, 13, NULL, NULL, NULL, NULL, NULL, 1, '0.1.0', NULL, '2026-11-22 22:59:04.790761+00');
INSERT INTO public.run VALUES (2, 2, 0, 'collapsed', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 2, "eta": 0.004, "seed": 0, "horizon": 40, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', 'cffd9b8a00b3a9b5', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "array_parallelism": 256, "slurm": {}}', 40, 40, 8, 0, 4, 'half', NULL, 1, '0.1.0', NULL, '2026-11-22 22:58:52.530476+00');
INSERT INTO public.stalesweep_version VALUES ('0001');
INSERT INTO public.sweep VALUES (1, 'finished', '326c7ef80d571348', 'name: finished
grid: {model: [tiny], k: [2, 8], eta: [5e-4, 4e-3], seed: [0]}
fixed: {horizon: 40}
', '2026-11-22 22:58:45.223291+00');
INSERT INTO public.sweep VALUES (2, 'unfinished', '5341c754ea5224e2', 'name: unfinished
grid: {model: [tiny], k: [4], eta: [5e-4], seed: [0]}
fixed: {horizon: 160}
', '2026-11-22 22:58:58.923332+00');
INSERT INTO public.sync_metric VALUES (1, 0, 1, 0, 0.3984375, 0.4915000796318054, NULL, 0, 0.5, 1, 1, 0.9870186535107941, NULL, 0.9974095032080995, NULL, 4.475543737411499, 0.010853769723325968, 0.02164449729025364, 0.02164449729025364, 0.021707539446651936, 0.9976872801780701, 1.19706130027771, 0, 0, 0.0006595323794558592, 0.0007222560816444457, 0.9987772703170776, 0.995356559753418, 0.2747733145952225, 3.734375, 0, 0.0625, 2.1857634635580325e-07, 0, 0.008534901000530226, 0.013881749000574928, 0.0001717729974188842, 0.010143691000848776, 478);
INSERT INTO public.sync_metric VALUES (1, 2, 1, 4, 0.65625, 0.47682511806488037, NULL, 0, 0.5, 1, 1, 0.9408637304717878, 0.8894577178034314, 0.86538209338039, 0.2532231220625304, 4.026612281799316, 0.025406334549188614, 0.10213711857795715, 0.05005822330713272, 0.1128484895452857, 0.9941806197166443, 1.7998663187026978, 0, 0, 0.006024906411824511, 0.19529754668474197, 0.9909499883651733, 0.967633068561554, 0.2822752296924591, 3.4375, 0, 0.0625, 2.2988427872405737e-07, 0, 0.008461084002192365, 0.01216114899943932, 6.120200123405084e-05, 0.00955597000211128, 440);
INSERT INTO public.sync_metric VALUES (1, 3, 1, 6, 0.65625, 0.47682511806488037, 0.6328125, 0, 0.5, 1, 1, 0.9523512814831886, 0.9015887099611363, 0.9598772506521607, 0.4332060533974772, 4.808513641357422, 0.029149243608117104, 0.14594808220863342, 0.057602230459451675, 0.1711469767615199, 0.9977514445781708, 1.7870593070983887, 0, 0, 0.0031627507415691236, 0.2020563706755638, 0.994868129491806, 0.9809460043907166, 0.27733999490737915, 3.5, 0, 0.0625, 2.395494789197983e-07, 0, 0.008165995001036208, 0.011187422005605185, 6.265999763854779e-05, 0.009158249999018153, 448);
INSERT INTO public.sync_metric VALUES (1, 4, 1, 8, 0.6796875, 0.4684300124645233, NULL, 0, 0.5, 1, 1, 0.9500331985250424, 0.9359686929946551, 0.8999483828789857, 0.5715736405847006, 3.0067166090011597, 0.03378504514694214, 0.1927707940340042, 0.06672234833240509, 0.2387170670554042, 0.9956902861595154, 1.3458062410354614, 0, 0, 0.004555664956638723, 0.1883595511317253, 0.9930766224861145, 0.9770544469356537, 0.2994697391986847, 3.3671875, 0, 0.0625, 2.3131373438900482e-07, 0, 0.008367770999029744, 0.011648184001387563, 6.596100138267502e-05, 0.009351813998364378, 431);
INSERT INTO public.sync_metric VALUES (1, 5, 1, 10, 0.7734375, 0.4202519655227661, NULL, 0, 0.5, 1, 1, 0.9569988718721576, 0.9564525968766335, 0.7179016988812724, 0.5493015417901871, 2.3028956055641174, 0.03361096419394016, 0.2360984981060028, 0.06649553775787354, 0.3059389954432845, 0.990355908870697, 1.5813002586364746, 0, 0, 0.00611700769523812, 0.18307899683713913, 0.993995875120163, 0.9802244305610657, 0.2313632071018219, 3.5, 0, 0.125, 2.4132481257765903e-07, 0, 0.014829245999862906, 0.013362033998419065, 6.874699829495512e-05, 0.016247773997747572, 448);
INSERT INTO public.sync_metric VALUES (1, 6, 1, 12, 0.546875, 0.4997538626194, NULL, 0, 0.5, 1, 1, 0.9402659663319073, 0.9294146591262168, 0.9433718783981009, -0.08703675225458561, 5.567096471786499, 0.024858237244188786, 0.2693784534931183, 0.048971302807331085, 0.3556554699316621, 1.0040768384933472, 2.387787103652954, 0, 0, 0.004288821946910646, 0.32563968002796173, 0.9883714318275452, 0.9655396938323975, 0.30331431329250336, 3.515625, 0, 0.0625, 2.054290604291964e-07, 0, 0.008605468003224814, 0.011861204999149777, 6.734699854860082e-05, 0.009672983003838453, 450);
INSERT INTO public.sync_metric VALUES (1, 7, 1, 14, 0.265625, 0.44340085983276367, 0.4921875, 0, 0.5, 1, 1, 0.9238829679781095, 0.907011508032415, 0.9910256217102164, 0.736696578747861, 6.203409433364868, 0.020476393401622772, 0.29042965173721313, 0.04016600921750069, 0.3966082567349076, 0.9998624324798584, 1.2254520654678345, 0, 0, 0.0015161334305172109, 1.1148189306259155, 0.9975235760211945, 0.9910976886749268, 0.3138311952352524, 3.5625, 0, 0.25, 2.742091282925685e-07, 0, 0.009400291997735621, 0.01230136300000595, 6.420499994419515e-05, 0.01052718499704497, 456);
INSERT INTO public.sync_metric VALUES (1, 8, 1, 16, 0.546875, 0.4997538626194, NULL, 0, 0.5, 1, 1, 0.9158702138089638, 0.8339762539103388, 0.8689627647316858, 0.3836447274857861, 2.6075596809387207, 0.02198457159101963, 0.30359452962875366, 0.043040208518505096, 0.4405773999169469, 0.9989053606987, 1.3768646717071533, 0, 0, 0.0028606306297092985, 0.5017272531986237, 0.9954109787940979, 0.9849822819232941, 0.2958984375, 3.25, 0, 0.1875, 2.5718830443111074e-07, 0, 0.011658813997200923, 0.01179719899664633, 6.695600313832983e-05, 0.012704452998150373, 416);
INSERT INTO public.sync_metric VALUES (1, 9, 1, 18, 0.609375, 0.48980751633644104, NULL, 0, 0.5, 1, 1, 0.9508081303761972, 0.9085493020990932, 0.9800989834475029, 0.23349974108309882, 2.3144806623458862, 0.02447434514760971, 0.3126447796821594, 0.04834398254752159, 0.4895260902121663, 0.9963831305503845, 1.7457879781723022, 0, 0, 0.0030056440737413264, 0.3999612629413605, 0.9953740835189819, 0.9850691854953766, 0.2633701264858246, 3.375, 0, 0.25, 1.3590842229405098e-07, 0, 0.01801915100077167, 0.012539226998342201, 6.805800148868002e-05, 0.019247050997364568, 432);
INSERT INTO public.sync_metric VALUES (1, 10, 1, 20, 0.671875, 0.4713755249977112, NULL, 0, 0.5, 1, 1, 0.965554154453672, 0.9390133179211291, 0.9857775223258162, 0.20207646850041416, 3.7991738319396973, 0.026208900846540928, 0.31744205951690674, 0.051964931190013885, 0.5419438919052482, 0.9999105632305145, 1.4370931386947632, 0, 0, 0.0027430474293059976, 0.26510079205036163, 0.9952110648155212, 0.9849570393562317, 0.2464240938425064, 3.59375, 0, 0.0625, 2.0370049469420337e-07, 0, 0.009505590998742264, 0.012371682001685258, 5.969400081085041e-05, 0.01049852500364068, 460);
INSERT INTO public.sync_metric VALUES (1, 11, 1, 22, 0.546875, 0.4997538626194, 0.55859375, 0, 0.5, 1, 1, 0.9574984275128344, 0.9444802971101083, 0.8793519985161011, 0.08048575437844357, 3.4833656549453735, 0.02594032697379589, 0.3256125748157501, 0.051326461136341095, 0.59382454585284, 0.9997858107089996, 1.8124587535858154, 0, 0, 0.004173131659684837, 0.276086762547493, 0.9926597774028778, 0.9724311530590057, 0.2939363420009613, 3.4921875, 0, 0, 1.963152982398242e-07, 0, 0.008949058999860426, 0.012308598998060916, 6.301099710981362e-05, 0.01064633899659384, 447);
INSERT INTO public.sync_metric VALUES (1, 12, 1, 24, 0.7421875, 0.43914902210235596, NULL, 0, 0.5, 1, 1, 0.9456572855741799, 0.9477106151058495, 0.963626971327483, 0.27934312151259677, 3.0722261667251587, 0.023175315000116825, 0.3366985321044922, 0.045716654509305954, 0.6401751758530736, 1.0021024346351624, 1.5543073415756226, 0, 0, 0.001177945640020741, 0.23588574677705765, 0.9976239204406738, 0.9907853901386261, 0.2113894447684288, 3.4375, 0, 0.1875, 1.8987127248237812e-07, 0, 0.008927712999138748, 0.011770257999160094, 8.928299939725548e-05, 0.010255699999106582, 440);
INSERT INTO public.sync_metric VALUES (1, 13, 1, 26, 0.6015625, 0.4915000796318054, NULL, 0, 0.5, 1, 1, 0.9334555857086912, 0.9127731359726836, 0.8438694013762181, 0.5529713340864775, 3.551050901412964, 0.022676977328956127, 0.34659141302108765, 0.044593535363674164, 0.6855291305109859, 0.9977039098739624, 1.3371608257293701, 0, 0, 0.004534617532124324, 0.15796958655118942, 0.9941096305847168, 0.9817623794078827, 0.30998827517032623, 3.2421875, 0, 0.0625, 2.1865210442229e-07, 0, 0.009329608001280576, 0.011729949001164641, 6.487299833679572e-05, 0.01044332499805023, 415);
INSERT INTO public.sync_metric VALUES (1, 14, 1, 28, 0.5234375, 0.5014128684997559, NULL, 0, 0.5, 1, 1, 0.9502229036450612, 0.9347831329550201, 0.9398091437155316, 0.37464439884803635, 3.892874240875244, 0.022249585017561913, 0.3544676601886749, 0.04394199326634407, 0.7300283005461097, 0.9979608058929443, 1.2828391790390015, 0, 0, 0.0023711544927503925, 0.4022550880908966, 0.9970243573188782, 0.9898985028266907, 0.24030877649784088, 3.4375, 0, 0.3125, 1.3993545167068078e-07, 0, 0.00862843899813015, 0.011884309002198279, 5.425099880085327e-05, 0.009523765998892486, 440);
INSERT INTO public.sync_metric VALUES (1, 15, 1, 30, 0.6640625, 0.47417303919792175, 0.609375, 0, 0.5, 1, 1, 0.955286395037254, 0.9063784449895547, 0.9612593073796724, 0.21481612407844158, 3.8214807510375977, 0.023488699458539486, 0.36444592475891113, 0.04645030200481415, 0.7770056994631886, 0.9996966123580933, 1.5240334272384644, 0, 0, 0.0021080125590513094, 0.07574860006570816, 0.9962606132030487, 0.9871993064880371, 0.24248971045017242, 3.484375, 0, 0.1875, 2.195916692926403e-07, 0, 0.008295977004308952, 0.011294279000139795, 9.387800309923477e-05, 0.009513373999652686, 446);
INSERT INTO public.sync_metric VALUES (1, 16, 1, 32, 0.65625, 0.47682511806488037, NULL, 0, 0.5, 1, 1, 0.9484146973062758, 0.9550505211442308, 0.9751761370149278, 0.27625636400854625, 3.904021143913269, 0.02183949016034603, 0.377363920211792, 0.0431121364235878, 0.8206846797838807, 1.0019952654838562, 1.3796848058700562, 0, 0, 0.0013023103820384338, 0.23399409651756287, 0.9974225163459778, 0.9910691976547241, 0.2107182815670967, 3.4375, 0, 0.25, 1.226297854373115e-07, 0, 0.008342261000507278, 0.012293578001845162, 6.178100011311471e-05, 0.009315912000602111, 440);
INSERT INTO public.sync_metric VALUES (1, 17, 1, 34, 0.6484375, 0.4793342351913452, NULL, 0, 0.5, 1, 1, 0.9441728484359738, 0.925060152744742, 0.9266081012485137, 0.4501940232104721, 2.1107245683670044, 0.021981732919812202, 0.39075925946235657, 0.04334622249007225, 0.8646481456235051, 0.998358279466629, 3.596041202545166, 0, 0, 0.004494728054903269, 0.16198905557394028, 0.987657904624939, 0.98243248462677, 0.31332065165042877, 3.25, 0, 0.5, 1.7329763579709834e-07, 0, 0.011391289001039695, 0.012556811998365447, 5.9294998209225014e-05, 0.012413181997544598, 416);
INSERT INTO public.sync_metric VALUES (1, 18, 1, 36, 0.640625, 0.481702595949173, NULL, 0, 0.5, 1, 1, 0.948449314725833, 0.9258128194165853, 0.6176618072615397, -0.07880159621481846, 2.321727991104126, 0.023585611954331398, 0.40363809466362, 0.04655943438410759, 0.9118193695321679, 0.9973640143871307, 1.852094292640686, 0, 0, 0.0036806133576220462, 0.3506845384836197, 0.9936937391757965, 0.976248025894165, 0.21288913488388062, 3.625, 0, 0.25, 1.3987701663609187e-07, 0, 0.008516668000083882, 0.01603940600034548, 6.245999975362793e-05, 0.009502105003775796, 464);
INSERT INTO public.sync_metric VALUES (1, 19, 1, 38, 0.640625, 0.481702595949173, 0.65234375, 0, 0.5, 1, 1, 0.943791333505928, 0.9339542585651832, 0.9872613152675903, 0.4145681667508149, 2.863426685333252, 0.021767958998680115, 0.414224773645401, 0.04291978105902672, 0.9553552875295281, 0.9976460039615631, 1.332616925239563, 0, 0, 0.0005871609319683196, 0.32207541167736053, 0.9989089965820312, 0.9964539706707001, 0.21234343945980072, 3.375, 0, 0.125, 1.4945140947020263e-07, 0, 0.009040523000294343, 0.011747304000891745, 6.293299884418957e-05, 0.010178090997214895, 432);
INSERT INTO public.sync_metric VALUES (2, 0, 1, 0, 0.3984375, 0.4915000796318054, NULL, 0, 0.5, 1, 1, 0.8935968906216967, NULL, 0.8903617521418117, NULL, 3.4603439569473267, 0.08069370687007904, 0.15736936032772064, 0.15736936032772064, 0.16138741374015808, 0.9832699298858643, 2.283949613571167, 0, 0, 0.03036545775840431, 0.10191572457551956, 0.9670034050941467, 0.8893354833126068, 0.27181704342365265, 3.734375, 0, 0.0625, 2.1857634635580325e-07, 0, 0.015123288998438511, 0.019535634000931168, 0.00023274100021808408, 0.02081255200027954, 478);
INSERT INTO public.sync_metric VALUES (2, 1, 1, 2, 0.4765625, 0.5014128684997559, NULL, 0, 0.5, 1, 1, 0.8790591159773389, 0.7561612751273642, 0.8164658799733716, -0.356558801204133, 5.238658547401428, 0.12271136045455933, 0.35612502694129944, 0.23795220255851746, 0.40681013464927673, 0.9901465475559235, 4.926605701446533, 0, 0, 0.04881331697116742, 0.46832893788814545, 0.926776796579361, 0.8020704388618469, 0.29027315974235535, 3.515625, 0, 0.125, 3.183881460699922e-07, 0, 0.014988736002123915, 0.018725042998994468, 9.838200276135467e-05, 0.0169830209997599, 450);
INSERT INTO public.sync_metric VALUES (2, 2, 1, 4, 0.4140625, 0.49449479579925537, NULL, 0, 0.5, 1, 1, 0.8827641758448418, 0.7392610857769027, 0.6816339382553415, 0.06955166417644149, 2.7319929599761963, 0.14874421060085297, 0.5588928461074829, 0.2886938750743866, 0.7042985558509827, 0.9736724495887756, 9.449178695678711, 0, 0, 0.06512280553582735, 6.240332305431366, 0.8942383527755737, 0.8439116179943085, 0.2730170339345932, 3.46875, 0, 0.3125, 1.445479824724316e-07, 0, 0.014064138998946873, 0.019721702999959234, 8.504799916408956e-05, 0.01563096400059294, 444);
INSERT INTO public.sync_metric VALUES (2, 3, 1, 6, 0.3515625, 0.4793342351913452, 0.17578125, 0, 0.5, 1, 1, 0.8620797537289914, 0.7791436374138029, 0.28621953621365814, 0.08289479028448554, 2.6498943567276, 0.1715642362833023, 0.7710091471672058, 0.3310963213443756, 1.0474270284175873, 1.0046940445899963, 10.978281021118164, 0, 0, 0.043138351291474135, 1.186912715435028, 0.8675481975078583, 0.7549034655094147, 0.2570311278104782, 3.546875, 0, 0.4375, 2.0042718062995846e-07, 0, 0.01471700299953227, 0.018682524998439476, 8.83370012161322e-05, 0.02395234800496837, 454);
INSERT INTO public.sync_metric VALUES (2, 4, 1, 8, 0.0625, 0.24301259219646454, NULL, 0, 0.5, 1, 1, 0.9880780144702639, 0.8670134581184368, 0.3537146979567239, 0.20477921918710112, 0.8848706632852554, 0.1909271627664566, 1.0229063034057617, 0.38071468472480774, 1.4292813539505005, 1.013551414012909, 11.498204231262207, 0, 0.005037783179432154, 0.10312078893194757, 3.6016963124275208, 0.8251807987689972, 0.6764673292636871, 0.292244017124176, 3.1015625, 0, 0.875, 2.5932993708011054e-07, 0, 0.013247680002677953, 0.01796780599761405, 8.647200229461305e-05, 0.014606410997657804, 397);
INSERT INTO public.sync_metric VALUES (2, 5, 1, 10, 0.1484375, 0.356930136680603, NULL, 0, 0.5, 1, 1, 0.8685325942009774, 0.8644590885064691, 0.03516686319556946, -0.08636011764595004, 1.4460578560829163, 0.1705467775464058, 1.2628167867660522, 0.32969242334365845, 1.770374909043312, 1.0117966532707214, 4.7328104972839355, 0, 0, 0.042584277689518, 1.8152619004249573, 0.950584203004837, 0.8789261281490326, 0.24256256967782974, 3.5, 0, 0.6875, 2.0332767292075005e-07, 0, 0.013493192000169074, 0.017880606996186543, 7.736599945928901e-05, 0.015027498000563355, 448);
INSERT INTO public.sync_metric VALUES (2, 6, 1, 12, 0.03125, 0.1746762990951538, NULL, 0, 0.5, 1, 1, 0.9745800257236854, 0.9074520605528923, 0.5474302589311184, 0.08042198618980138, 0.4577591046690941, 0.16064243018627167, 1.4756945371627808, 0.31923744082450867, 2.0916597694158554, 1.0000321865081787, 11.334840774536133, 0, 0.0011185682378709316, 0.06642589718110593, 2.0589449405670166, 0.8211187720298767, 0.6590827852487564, 0.31876368820667267, 3.4921875, 0, 0.875, 2.0361586905437434e-07, 0, 0.013257296002848307, 0.01780151300408761, 0.00014657899737358093, 0.014702851000038208, 447);
INSERT INTO public.sync_metric VALUES (2, 7, 1, 14, 0.0703125, 0.2566775381565094, 0.0390625, 0, 0.5, 1, 1, 0.8819052822517817, 0.8677877787715964, -0.21351180568882866, 0.007449482923683545, 1.3608929514884949, 0.15448130667209625, 1.6615803241729736, 0.29970547556877136, 2.400622382760048, 0.9886672794818878, 10.250327110290527, 0, 0.0010964912362396717, 0.11829423159370285, 5.816270351409912, 0.8017424941062927, 0.6809466034173965, 0.3062243163585663, 3.5625, 0, 0.8125, 2.2077246342178114e-07, 0, 0.013151275998097844, 0.0178323160034779, 8.680999962962233e-05, 0.01453923000008217, 456);
INSERT INTO public.sync_metric VALUES (2, 8, 1, 16, 0.015625, 0.12450689822435379, NULL, 0, 0.5, 1, 1, 0.902636180447448, 0.9080754626454303, -0.6745850204253817, -0.6035079640481981, 0.8819319605827332, 0.13999566435813904, 1.8322852849960327, 0.2731029987335205, 2.680613711476326, 0.9906521439552307, 14.494873046875, 0, 0.002518891589716077, 0.25063809752472344, 4.031105995178223, 0.6879170686006546, 0.5794205591082573, 0.26154322922229767, 3.1015625, 0, 0.875, 2.3247172009632777e-07, 0, 0.013022940001974348, 0.016897705998417223, 8.349500058102421e-05, 0.014406789996428415, 397);
INSERT INTO public.sync_metric VALUES (2, 9, 1, 18, 0, 0, NULL, 0, 0.5, 1, 1, 0.9999999391463193, 1.0000000463324716, NULL, NULL, 0, 0.11644293367862701, 1.9909321069717407, 0.23288583755493164, 2.91349957883358, 0.9790567755699158, 3.1265037059783936, 0, 0, 0.025722606107647955, 3.919409155845642, 0.960096687078476, 0.9107870161533356, 0.2699444741010666, 3.078125, 0, 1, 1.2057081733019004e-07, 0, 0.012766261999786366, 0.01657155399880139, 7.790499876136892e-05, 0.01416244999927585, 394);
INSERT INTO public.sync_metric VALUES (2, 10, 1, 20, 0.0078125, 0.0883883461356163, NULL, 0, 0.5, 1, 1, 0.9922850471750924, 0.902821496961458, 0.356162790614737, NULL, 0.4245290458202362, 0.11583742499351501, 2.129831552505493, 0.23122772574424744, 3.14517442882061, 0.9971422255039215, 6.047691822052002, 0, 0.0011363636003807187, 0.17143298685558042, 422.098664522171, 0.8764350414276123, 0.7449069917201996, 0.2916240692138672, 3.4375, 0, 0.9375, 2.1270561489927786e-07, 0, 0.01244222700188402, 0.01604091899935156, 8.279599933302961e-05, 0.013863824999134522, 440);
INSERT INTO public.sync_metric VALUES (3, 0, 1, 0, 0.3984375, 0.4915000796318054, 0.45703125, 0, 3.5, 7, 7, 0.9723673386864108, NULL, 0.8668736333003748, NULL, 2.527831070125103, 0.02616012131329626, 0.1942487210035324, 0.1942487210035324, 0.20928097050637007, 0.9448082894086838, 8.240584373474121, 0, 0.0023535564832855016, 0.11697539035233297, 1.2610590089025209, 0.8974860310554504, 0.7530501745641232, 0.29229241982102394, 3.734375, 0, 0.0625, 2.1857634635580325e-07, 0, 0.01401450099729118, 0.0694072980004421, 0.0003376810018380638, 0.016425681998953223, 478);
INSERT INTO public.sync_metric VALUES (2, 11, 1, 22, 0.0078125, 0.0883883461356163, 0.01953125, 0, 0.5, 1, 1, 0.9805106743767387, 0.7939204449567352, 0.781306621647052, 0.0015666256502887273, 0.5242535322904587, 0.12268341332674026, 2.2574193477630615, 0.2441684603691101, 3.3905412554740906, 1.0128127336502075, 10.50360107421875, 0, 0.0011467889416962862, 0.07861347496515635, 4.979260683059692, 0.7925023138523102, 0.6248044967651367, 0.268335297703743, 3.40625, 0, 0.9375, 1.861107250533678e-07, 0, 0.01300541999808047, 0.01667729399923701, 7.361899770330638e-05, 0.014485481999145122, 436);
INSERT INTO public.sync_metric VALUES (2, 12, 1, 24, 0.0546875, 0.22826264798641205, NULL, 0, 0.5, 1, 1, 0.9842031193201647, 0.874630678926332, -0.93366996761797, -0.31701615843288006, 0.5730334967374802, 0.1090066023170948, 2.3707211017608643, 0.21715398132801056, 3.60855446010828, 0.990985095500946, 4.939180374145508, 0, 0, 0.05922726169232357, 5.471684217453003, 0.9218604862689972, 0.7959060668945312, 0.21123547106981277, 3.34375, 0, 0.9375, 1.2777397273566748e-07, 0, 0.012771039000654127, 0.016803547001472907, 0.0001288739986193832, 0.019370190995687153, 428);
INSERT INTO public.sync_metric VALUES (2, 13, 1, 26, 0.015625, 0.12450689822435379, NULL, 0, 0.5, 1, 1, 0.7313257900131129, 0.7612137071492316, -0.8395640613212032, 0.09404245933329555, 0.762624055147171, 0.09821352362632751, 2.469907760620117, 0.18280652165412903, 3.804981507360935, 0.9949074983596802, 1.9703266620635986, 0, 0, 0.048447698354963306, 5.361590385437012, 0.9732581079006195, 0.9222745299339294, 0.28956957161426544, 3.1328125, 0, 0.9375, 4.0676269463801873e-07, 0, 0.013845546000084141, 0.01946738700280548, 7.53740023355931e-05, 0.015195839998341398, 401);
INSERT INTO public.sync_metric VALUES (3, 1, 1, 8, 0.453125, 0.4997538626194, 0.5546875, 0, 3.5, 7, 7, 0.968460949488423, 0.9251658165408401, 0.9154934623887503, 0.4400633936362471, 2.504605770111084, 0.036964346654713154, 0.3737487494945526, 0.259941428899765, 0.5049957437440753, 0.9606388658285141, 4.204201698303223, 0, 0.0033482143480796367, 0.22969830885996967, 0.8483010344207287, 0.873630128800869, 0.6249808333814144, 0.2541092000901699, 3.5, 0, 0.125, 2.3260508896782994e-07, 0, 0.013505805996828713, 0.06815230599750066, 8.249199890997261e-05, 0.015140380008233478, 448);
INSERT INTO public.sync_metric VALUES (2, 14, 1, 28, 0, 0, NULL, 0, 0.5, 1, 1, 0.9999999578349199, 0.9999999173905191, NULL, NULL, 0, 0.08048440143465996, 2.5581746101379395, 0.16096879541873932, 3.965950310230255, 1.0026267766952515, 1.4571374654769897, 0, 0, 0.005216302350223419, 5.1815526485443115, 0.994282066822052, 0.981654703617096, 0.27158699929714203, 3.171875, 0, 1, 2.3560683359846735e-07, 0, 0.013965353999083163, 0.018521298999985447, 7.850000110920519e-05, 0.015397687999211485, 406);
INSERT INTO public.sync_metric VALUES (2, 15, 1, 30, 0, 0, 0.00390625, 0, 0.5, 1, 1, 0.9999998058956177, 0.9999997749242109, NULL, NULL, 0, 0.06680064648389816, 2.6366629600524902, 0.13360127806663513, 4.0995516031980515, 1.022432804107666, 21.15523338317871, 0, 0, 0.05036964267498195, 5.963151693344116, 0.7464840263128281, 0.6290532797574997, 0.27105747163295746, 3.4375, 0, 1, 1.593577536596058e-07, 0, 0.016380561999540078, 0.02773820700167562, 8.397200144827366e-05, 0.01781044299787027, 440);
INSERT INTO public.sync_metric VALUES (3, 2, 1, 16, 0.625, 0.4860251843929291, 0.45703125, 0, 3.5, 7, 7, 0.9686721267985751, 0.92124385475292, 0.9058424274785889, -0.04753319255882159, 1.8783422410488129, 0.03307694988325238, 0.47297403216362, 0.2359587550163269, 0.7696113428100944, 0.9491442888975143, 2.699221611022949, 0, 0.003355704713612795, 0.10534480464413117, 0.2279016710817814, 0.9281918853521347, 0.7576655447483063, 0.2601524814963341, 3.4921875, 0, 0.125, 2.0094066144338285e-07, 0, 0.013317509001353756, 0.09256502000062028, 0.000108022999484092, 0.017518954002298415, 447);
INSERT INTO public.sync_metric VALUES (2, 16, 1, 32, 0, 0, NULL, 0, 0.5, 1, 1, 0.9999999114556068, 0.9999998259712001, NULL, NULL, 0, 0.0554281584918499, 2.7050750255584717, 0.1108563020825386, 4.210407920181751, 1.0008695125579834, 2.3528664112091064, 0, 0, 0.002244125353221941, 7.3988776206970215, 0.9937818050384521, 0.9803194999694824, 0.2687365263700485, 3.3046875, 0, 1, 1.7011718966841727e-07, 0, 0.014922357000614284, 0.024485589998221258, 8.487000013701618e-05, 0.016633967996313004, 423);
INSERT INTO public.sync_metric VALUES (2, 17, 1, 34, 0.03125, 0.1746762990951538, NULL, 0, 0.5, 1, 1, 0.9451521022578621, 0.4575126006767761, -0.058038223525111544, NULL, 0.5962463244795799, 0.10058554261922836, 2.773526906967163, 0.1983964592218399, 4.411579005420208, 1.0187299251556396, 11.753116607666016, 0, 0, 0.16838598251348863, 52.30837869644165, 0.7605798840522766, 0.6713659018278122, 0.38980406522750854, 3.15625, 0, 0.875, 2.087217154667087e-07, 0, 0.015052514001581585, 0.019765441000345163, 9.143499846686609e-05, 0.01875725899662939, 404);
INSERT INTO public.sync_metric VALUES (2, 18, 1, 36, 0.03125, 0.1746762990951538, NULL, 0, 0.5, 1, 1, 0.967397116883143, 0.7262362465931422, -0.20058913529147876, 0.05644475135193453, 0.680243231356144, 0.12474124506115913, 2.845944881439209, 0.24744147062301636, 4.661061495542526, 1.0034912824630737, 4.573171615600586, 0, 0.004662004765123129, 0.04911927506334422, 6.562543630599976, 0.9180145859718323, 0.7941427230834961, 0.2634419724345207, 3.3515625, 0, 0.875, 1.6760876064836339e-07, 0, 0.010053886999230599, 0.01263659500546055, 6.492800093838014e-05, 0.011385127996618394, 429);
INSERT INTO public.sync_metric VALUES (3, 3, 1, 24, 0.5546875, 0.4989531338214874, 0.5234375, 0, 3.5, 7, 7, 0.9787600282705494, 0.9407227616500138, 0.8952027651557009, 0.14892433032864114, 1.4512770250439644, 0.03277566586621106, 0.5684077739715576, 0.24391524493694305, 1.0318166697397828, 0.981483057141304, 6.563106060028076, 0, 0.0037634408799931407, 0.05185387769598794, 0.3436319977045059, 0.9408388212323189, 0.832573689520359, 0.20978916808962822, 3.6328125, 0, 0.25, 1.282140829061973e-07, 0, 0.015257447001204127, 0.05602046300191432, 9.156099986284971e-05, 0.017904943000758067, 465);
INSERT INTO public.sync_metric VALUES (2, 19, 1, 38, 0, 0, 0, 0, 0.5, 1, 1, 1.0000001717579956, 1.0000000097548802, NULL, NULL, 0, 0.10637977346777916, 2.9216904640197754, 0.21275950968265533, 4.873821042478085, 0.9968181252479553, 5.6982316970825195, 0, 0, 0.02989679016201814, 6.710935831069946, 0.9341461360454559, 0.8519608080387115, 0.30890195071697235, 3.578125, 0.0078125, 1, 3.647225810254895e-07, 0, 0.009127461002208292, 0.020324478999100393, 6.457199924625456e-05, 0.010098509999806993, 458);
INSERT INTO public.sync_metric VALUES (3, 4, 1, 32, 0.3984375, 0.4915000796318054, 0.49609375, 0, 3.5, 7, 7, 0.9780689167224896, 0.9341809389484477, 0.8882146169811663, -0.02592193844117972, 1.638352632522583, 0.035011396277695894, 0.6518251299858093, 0.2588515281677246, 1.31190783996135, 0.9608925059437752, 7.474274158477783, 0, 0.007075471803545952, 0.12657729798231238, 1.5687358416616917, 0.882074624300003, 0.6943632997572422, 0.29941364005208015, 3.3125, 0, 0.25, 2.031996473306208e-07, 0, 0.014014874996064464, 0.07321440900341258, 8.693400013726205e-05, 0.015477319997444283, 424);
INSERT INTO public.sync_metric VALUES (4, 0, 1, 0, 0.3984375, 0.4915000796318054, 0.3515625, 0, 3.5, 7, 7, 0.8319599830046023, NULL, 0.33890809060243965, NULL, 2.2995654344558716, 0.1219570804387331, 0.7430729269981384, 0.7430729269981384, 0.9756566435098648, 0.8658465668559074, 8.471329689025879, 0, 0.004968619236024097, 0.45344980200755036, 4901.029492588714, 0.7875229045748711, 0.5057865642011166, 0.2916943356394768, 3.734375, 0, 0.0625, 2.1857634635580325e-07, 0, 0.016613586001767544, 0.0765809110016562, 0.0002084179977828171, 0.021890815998631297, 478);
INSERT INTO public.sync_metric VALUES (4, 1, 1, 8, 0.4921875, 0.5019033551216125, 0.140625, 0, 3.5, 7, 7, 0.9011343985255907, 0.8245378273753061, 0.21068569711444818, -0.4324791304705624, 1.585070963948965, 0.1638001911342144, 1.6253936290740967, 1.1486060619354248, 2.28605817258358, 1.0154759213328362, 92.59149169921875, 0, 0.010820045572472736, 0.6040522037074102, 4402.010105825961, 0.32697275886312127, 0.2506403774023056, 0.20175766199827194, 3.4296875, 0, 0.25, 1.6147733106208761e-07, 0, 0.013999368999066064, 0.07048666000264348, 8.10310011729598e-05, 0.015486656993743964, 439);
INSERT INTO public.sync_metric VALUES (4, 2, 1, 16, 0.1953125, 0.3979988098144531, 0.0546875, 0, 3.5, 7, 7, 0.8678274078534531, 0.7448849518453818, -0.275263258801688, 0.09385381754236599, 1.0127902254462242, 0.12403579987585545, 2.1675353050231934, 0.8322553038597107, 3.2783445715904236, 0.8845353126525879, 16.977968215942383, 0, 0.014178240904584527, 0.9954819548875209, 172.89313757419586, 0.5026495978236198, 0.25046952813863754, 0.22705145925283432, 3.375, 0, 0.8125, 1.737175239213684e-07, 0, 0.01576106699940283, 0.06785335299719009, 8.674199852976017e-05, 0.01747950599019532, 432);
INSERT INTO public.sync_metric VALUES (4, 3, 1, 24, 0, 0, 0.0078125, 0, 3.5, 7, 7, 0.999999911561685, 1.0000001028030856, NULL, NULL, 0, 0.06801735097542405, 2.5171961784362793, 0.5441386103630066, 3.822483379393816, 0.9502518624067307, 9.764999389648438, 0, 0, 0.11820720997639585, 6.156991600990295, 0.8227726891636848, 0.8035328090190887, 0.19672830775380135, 3.5625, 0.1875, 1, 1.0454095900058746e-07, 0, 0.013752161001320928, 0.09133761700286414, 8.051300028455444e-05, 0.01746716500565526, 456);
INSERT INTO public.sync_metric VALUES (4, 4, 1, 32, 0.0078125, 0.0883883461356163, 0.00390625, 0, 3.5, 7, 7, 0.9132017941739504, 0.3140696164396521, 0.33810174833087336, NULL, 0.4959520734846592, 0.09021609928458929, 2.718892812728882, 0.6452099084854126, 4.54421217367053, 0.9633019343018532, 8.82239818572998, 0, 0.0035557987284846604, 0.877123989164873, 7.9635924100875854, 0.7808734104037285, 0.4145475924015045, 0.18910748325288296, 3.5703125, 0.296875, 0.9375, 2.371611884655067e-07, 0, 0.014034500003617723, 0.07956211400596658, 8.065899965004064e-05, 0.01546174200848327, 457);
INSERT INTO public.sync_metric VALUES (1, 1, 1, 2, 0.5546875, 0.4989531338214874, NULL, 0, 0.5, 1, 1, 0.9725030371559957, NULL, 0.9916113555339111, 0.5443262996227597, 4.468569040298462, 0.02016414050012827, 0.05871027335524559, 0.04005500301718712, 0.062035820446908474, 0.9961826205253601, 'NaN', 0, 0, 'Infinity', 0.014968426898121834, 0.9947594702243805, 0.9829026162624359, '-Infinity', 3.6015625, 0, 0.0625, 1.967615901321551e-07, 0, 0.009374385001137853, 0.011258222999458667, 6.847999975434504e-05, 0.011354297999787377, 461);
INSERT INTO public.sync_metric VALUES (5, 0, 1, 0, 0.3984375, 0.4915000796318054, NULL, 0, 1.5, 3, 3, 0.9861951202129434, NULL, 0.9909872861905131, NULL, 3.8295924067497253, 0.017435232875868678, 0.06898138672113419, 0.06898138672113419, 0.06974093150347471, 0.9891899228096008, 1.8993403911590576, 0, 0, 0.012148709967780856, 0.02434755934518762, 0.9835966974496841, 0.9417030960321426, 0.2705167829990387, 3.734375, 0, 0.0625, 2.1857634635580325e-07, 0, 0.011141138002130901, 0.025589378008589847, 0.00017683300029602833, 0.013013846004469087, 478);
INSERT INTO public.sync_metric VALUES (5, 1, 1, 4, 0.6484375, 0.4793342351913452, 0.53515625, 0, 1.5, 3, 3, 0.9592285357525272, 0.9038594989574845, 0.8292668195621485, 0.39980513655746336, 3.049051582813263, 0.03256723145022988, 0.18047258257865906, 0.12445440143346786, 0.20000985730439425, 0.978843167424202, 4.402837753295898, 0, 0, 0.03577976929956915, 0.8814174775034189, 0.9512863606214523, 0.8252963274717331, 0.2655727043747902, 3.5859375, 0, 0.125, 1.697198399597255e-07, 0, 0.01178556300146738, 0.028261781997571234, 0.00015590600014547817, 0.013227131999883568, 459);
INSERT INTO public.sync_metric VALUES (5, 2, 1, 8, 0.546875, 0.4997538626194, NULL, 0, 1.5, 3, 3, 0.9621158121923582, 0.9487433944144529, 0.9339737171000414, 0.6594964009244199, 4.069192826747894, 0.036246199160814285, 0.2796076536178589, 0.1385357677936554, 0.3449946539476514, 1.0132185220718384, 20.331336975097656, 0, 0.005148741533048451, 0.0725802774541424, 0.5430731028318405, 0.8001671433448792, 0.6775529384613037, 0.2801934704184532, 3.4140625, 0, 0.1875, 2.2046558001420635e-07, 0, 0.009579638001014246, 0.025689197002066066, 6.833900260971859e-05, 0.01083041999663692, 437);
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
