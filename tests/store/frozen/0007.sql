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
    failure_class text,
    node text,
    CONSTRAINT ck_attempt_ended CHECK (((outcome IS NULL) = (ended_at IS NULL))),
    CONSTRAINT ck_attempt_failure_class CHECK ((failure_class = ANY (ARRAY['exception'::text, 'diverged'::text, 'gpu_out_of_memory'::text, 'out_of_memory'::text, 'time_limit'::text, 'preempted'::text, 'node_failure'::text, 'killed'::text, 'cancelled'::text, 'never_began'::text, 'forgotten'::text, 'stopped'::text, 'lost'::text, 'predicted_collapse'::text, 'decided'::text, 'removed'::text]))),
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
    submission_id bigint,
    task bigint,
    failure_class text,
    folder_id text,
    CONSTRAINT ck_run_collapse_step CHECK (((collapse_step >= 1) AND (collapse_step <= horizon))),
    CONSTRAINT ck_run_collapse_step_lo CHECK (((collapse_step_lo >= 0) AND (collapse_step_lo < collapse_step))),
    CONSTRAINT ck_run_collapse_sync CHECK ((collapse_sync >= 0)),
    CONSTRAINT ck_run_collapsed CHECK (((state = 'collapsed'::text) = (collapse_step IS NOT NULL))),
    CONSTRAINT ck_run_failure_class CHECK ((failure_class = ANY (ARRAY['exception'::text, 'diverged'::text, 'gpu_out_of_memory'::text, 'out_of_memory'::text, 'time_limit'::text, 'preempted'::text, 'node_failure'::text, 'killed'::text, 'cancelled'::text, 'never_began'::text, 'forgotten'::text, 'stopped'::text, 'lost'::text, 'predicted_collapse'::text, 'decided'::text, 'removed'::text]))),
    CONSTRAINT ck_run_fence CHECK ((fence >= 0)),
    CONSTRAINT ck_run_horizon CHECK ((horizon >= 1)),
    CONSTRAINT ck_run_learner_steps CHECK (((learner_steps >= 0) AND (learner_steps <= horizon))),
    CONSTRAINT ck_run_placed CHECK (((submission_id IS NULL) = (task IS NULL))),
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
CREATE TABLE public.submission (
    id bigint NOT NULL,
    sweep_id bigint NOT NULL,
    token text NOT NULL,
    job_name text NOT NULL,
    folder text NOT NULL,
    resources json NOT NULL,
    tasks bigint NOT NULL,
    submitted_at timestamp with time zone NOT NULL,
    job_id text,
    CONSTRAINT ck_submission_tasks CHECK ((tasks >= 1))
);
CREATE SEQUENCE public.submission_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.submission_id_seq OWNED BY public.submission.id;
CREATE TABLE public.sweep (
    id bigint NOT NULL,
    name text NOT NULL,
    digest text NOT NULL,
    grid_text text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    source text DEFAULT 'grid'::text NOT NULL,
    notified_at timestamp with time zone,
    CONSTRAINT ck_sweep_source CHECK ((source = ANY (ARRAY['grid'::text, 'search'::text, 'import'::text])))
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
ALTER TABLE ONLY public.submission ALTER COLUMN id SET DEFAULT nextval('public.submission_id_seq'::regclass);
ALTER TABLE ONLY public.sweep ALTER COLUMN id SET DEFAULT nextval('public.sweep_id_seq'::regclass);
INSERT INTO public.attempt VALUES (1, 1, 'local', '550', NULL, 0, 'vm', 557, 3208876, '2026-12-01 04:14:55.592905+00', '2026-12-01 04:14:56.327166+00', '2026-12-01 04:14:58.585004+00', '2026-12-01 04:14:58.585005+00', 'stable', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.6481747349971556, '0.1.0', NULL, NULL, 1, 23492, NULL, NULL);
INSERT INTO public.attempt VALUES (2, 1, 'local', '551', NULL, 0, 'vm', 559, 3208881, '2026-12-01 04:14:56.241626+00', '2026-12-01 04:14:56.821177+00', '2026-12-01 04:14:59.295365+00', '2026-12-01 04:14:59.295366+00', 'collapsed', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.5405936980023398, '0.1.0', NULL, NULL, 1, 23084, NULL, NULL);
INSERT INTO public.attempt VALUES (3, 1, 'local', '550', NULL, 0, 'vm', 557, 3208876, '2026-12-01 04:14:58.95181+00', '2026-12-01 04:14:59.299393+00', '2026-12-01 04:15:00.600508+00', '2026-12-01 04:15:00.600508+00', 'stable', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.3115233520002221, '0.1.0', NULL, NULL, 1, 7102, NULL, NULL);
INSERT INTO public.attempt VALUES (4, 1, 'local', '551', NULL, 0, 'vm', 559, 3208881, '2026-12-01 04:14:59.539812+00', '2026-12-01 04:15:00.06398+00', '2026-12-01 04:15:01.101956+00', '2026-12-01 04:15:01.101956+00', 'collapsed', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.48655157499888446, '0.1.0', NULL, NULL, 1, 7025, NULL, NULL);
INSERT INTO public.attempt VALUES (5, 1, 'local', '3234', NULL, 0, 'vm', 3239, 3211471, '2026-12-01 04:15:17.153042+00', '2026-12-01 04:15:17.535955+00', '2026-12-01 04:15:18.10366+00', '2026-12-01 04:15:18.10366+00', 'interrupted', NULL, NULL, NULL, '{"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "5.23.0", "stalesweep": "0.1.0"}', 'cpu', 21536, 0.3612237089982955, '0.1.0', NULL, NULL, 1, 9078, 'stopped', NULL);
INSERT INTO public.cell VALUES (1, 1, 0, 'tiny', 2, 0.0005, '{}');
INSERT INTO public.cell VALUES (2, 1, 1, 'tiny', 2, 0.004, '{}');
INSERT INTO public.cell VALUES (3, 1, 2, 'tiny', 8, 0.0005, '{}');
INSERT INTO public.cell VALUES (4, 1, 3, 'tiny', 8, 0.004, '{}');
INSERT INTO public.cell VALUES (5, 2, 0, 'tiny', 4, 0.0005, '{}');
INSERT INTO public.evaluation VALUES (1, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (2, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (1, 8, 1, 0.6328125, 256);
INSERT INTO public.evaluation VALUES (1, 16, 1, 0.4921875, 256);
INSERT INTO public.evaluation VALUES (2, 8, 1, 0.17578125, 256);
INSERT INTO public.evaluation VALUES (2, 16, 1, 0.0390625, 256);
INSERT INTO public.evaluation VALUES (2, 24, 1, 0.01953125, 256);
INSERT INTO public.evaluation VALUES (1, 24, 1, 0.55859375, 256);
INSERT INTO public.evaluation VALUES (1, 32, 1, 0.61328125, 256);
INSERT INTO public.evaluation VALUES (1, 40, 1, 0.66015625, 256);
INSERT INTO public.evaluation VALUES (2, 32, 1, 0.00390625, 256);
INSERT INTO public.evaluation VALUES (2, 40, 1, 0.00390625, 256);
INSERT INTO public.evaluation VALUES (3, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (3, 8, 1, 0.45703125, 256);
INSERT INTO public.evaluation VALUES (3, 16, 1, 0.55859375, 256);
INSERT INTO public.evaluation VALUES (4, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (3, 24, 1, 0.4296875, 256);
INSERT INTO public.evaluation VALUES (3, 32, 1, 0.4296875, 256);
INSERT INTO public.evaluation VALUES (3, 40, 1, 0.46484375, 256);
INSERT INTO public.evaluation VALUES (4, 8, 1, 0.35546875, 256);
INSERT INTO public.evaluation VALUES (4, 16, 1, 0.140625, 256);
INSERT INTO public.evaluation VALUES (4, 24, 1, 0.03125, 256);
INSERT INTO public.evaluation VALUES (4, 32, 1, 0.015625, 256);
INSERT INTO public.evaluation VALUES (4, 40, 1, 0.0078125, 256);
INSERT INTO public.evaluation VALUES (5, 0, 1, 0.453125, 256);
INSERT INTO public.evaluation VALUES (5, 8, 1, 0.53515625, 256);
INSERT INTO public.evaluation VALUES (5, 16, 1, 0.51171875, 256);
INSERT INTO public.evaluation VALUES (5, 24, 1, 0.578125, 256);
INSERT INTO public.fit VALUES (1, '2026-12-01 04:15:06.365793+00', '["finished"]', '[1, 2, 3, 4]', '0.1.0', 'half', '{"models": {"tiny": {"cells": [{"k": 2, "eta": 0.0005, "axes": {}, "n_runs": 1, "n_collapsed": 0, "n_degraded": 0, "n_left_out": 0, "horizon": 40, "collapse_step": null, "collapse_sync": null, "eta_k": 0.001, "eta_T": null, "p_collapse": 0.0}, {"k": 2, "eta": 0.004, "axes": {}, "n_runs": 1, "n_collapsed": 1, "n_degraded": 0, "n_left_out": 0, "horizon": 40, "collapse_step": {"lo": 0, "hi": 8, "median": 8}, "collapse_sync": 4, "eta_k": 0.008, "eta_T": 0.032, "p_collapse": 1.0}, {"k": 8, "eta": 0.0005, "axes": {}, "n_runs": 1, "n_collapsed": 0, "n_degraded": 0, "n_left_out": 0, "horizon": 40, "collapse_step": null, "collapse_sync": null, "eta_k": 0.004, "eta_T": null, "p_collapse": 0.0}, {"k": 8, "eta": 0.004, "axes": {}, "n_runs": 1, "n_collapsed": 1, "n_degraded": 0, "n_left_out": 0, "horizon": 40, "collapse_step": {"lo": 8, "hi": 16, "median": 16}, "collapse_sync": 2, "eta_k": 0.032, "eta_T": 0.064, "p_collapse": 1.0}], "local": {"exponent": {"estimate": -4.423426543302832e-17, "ci95": [null, null], "identified_set": [-1.5000000000014433, 1.5000000000014433], "seed_factor": null}, "constant": {"estimate": 0.0056568542494923775, "ci95": [null, null], "identified_set": [0.004, 0.008], "seed_factor": 1.0}, "prefactor": {"estimate": 0.0014142135623730955, "ci95": [null, null], "identified_set": null, "seed_factor": 1.0}, "width": 14.82356791648911, "p_exponent_is_1": 0.37391452725839514, "brackets": [{"k": 2, "eta_stable": 0.0005, "eta_collapsed": 0.004, "eta_half": {"estimate": 0.0014142135623730955, "ci95": [null, null], "identified_set": null, "seed_factor": 1.0}}, {"k": 8, "eta_stable": 0.0005, "eta_collapsed": 0.004, "eta_half": {"estimate": 0.0014142135623730955, "ci95": [null, null], "identified_set": null, "seed_factor": 1.0}}], "separable": true}, "horizon": {"collapsed_only": {"eta_exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "k_exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "constant": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "prefactor": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "sigma": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "p_law": null, "law_in_set": null, "alternatives": [], "n_collapsed": 2, "n_censored": 0}, "cv_eta_T": 0.4714045207910317, "eta_exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "k_exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "constant": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "prefactor": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "sigma": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "p_law": null, "law_in_set": null, "alternatives": [], "n_collapsed": 2, "n_censored": 2}, "joint": {"horizon": {"eta_exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "k_exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "constant": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "prefactor": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "sigma": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "p_law": null, "law_in_set": null, "alternatives": [], "n_collapsed": 0, "n_censored": 0}, "exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "constant": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "width": null, "p_exponent_is_1": null, "p_laws": null, "immune": null, "aic": null, "aic_all_susceptible": null}, "two_constraint": {"cells_right": null, "cells": null, "left_out_right": null, "left_out_cells": null, "either_right": null, "either_left_out_right": null, "crossing": null, "predictions": []}, "regime": {"cosine_auc": null, "drift_exponent": {"collapsed": 1.1464802573711645, "stable": 0.8221769983445106}, "drift": {"collapsed": {"estimate": 1.1464802573711645, "ci95": null, "quartiles": [1.1464802573711645, 1.1464802573711645], "runs": 1}, "stable": {"estimate": 0.8221769983445106, "ci95": null, "quartiles": [0.7892192804429653, 0.8551347162460561], "runs": 2}}, "early_warnings": [], "windows": [{"steps": 2, "n_collapsed": 0, "n_other": 0, "n_gone": 1, "n_short": 3}, {"steps": 5, "n_collapsed": 0, "n_other": 0, "n_gone": 1, "n_short": 3}, {"steps": 10, "n_collapsed": 0, "n_other": 1, "n_gone": 2, "n_short": 1}], "predictors": [], "sentences": ["The distance from the start grows as t^1.15 in 1 collapsed run (middle half 1.15 to 1.15) and as t^0.82 in 2 stable runs (middle half 0.79 to 0.86). Collapsed runs count up to T*. Ballistic drift grows as t^1, diffusive drift as t^0.5.", "No metric could be tried as an early warning, because after the first steps all runs end alike."]}, "warnings": ["All collapsed runs have eta=0.004, so the dependence of T* on eta is not known. Run k=2 at eta=0.032, k=8 at eta=0.032 with seeds 0, 1 and 2.", "Every cell was run with seed 0 only. How often a cell collapses is therefore not known, and the intervals do not hold for seeds other than 0. Run k=2 at eta=0.0005 and 0.004, k=8 at eta=0.0005 and 0.004 with seeds 1 and 2."], "next_runs": [{"k": 2, "eta": 0.0005, "seeds": [1, 2], "horizon": null}, {"k": 2, "eta": 0.004, "seeds": [1, 2], "horizon": null}, {"k": 2, "eta": 0.032, "seeds": [0, 1, 2], "horizon": null}, {"k": 8, "eta": 0.0005, "seeds": [1, 2], "horizon": null}, {"k": 8, "eta": 0.004, "seeds": [1, 2], "horizon": null}, {"k": 8, "eta": 0.032, "seeds": [0, 1, 2], "horizon": null}], "detectors": {"fits": [{"detector": "stored", "n_decided": 0, "n_collapsed": 2, "n_degraded": 0, "exponent": {"estimate": -4.423426543302832e-17, "ci95": [null, null], "identified_set": [-1.5000000000014433, 1.5000000000014433], "seed_factor": null}, "c_local": {"estimate": 0.0056568542494923775, "ci95": [null, null], "identified_set": [0.004, 0.008], "seed_factor": 1.0}, "immune": null, "eta_exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "k_exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "c_horizon": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "p_law": null, "brackets": [{"k": 2, "eta_stable": 0.0005, "eta_collapsed": 0.004, "eta_half": {"estimate": 0.0014142135623730955, "ci95": [null, null], "identified_set": null, "seed_factor": 1.0}}, {"k": 8, "eta_stable": 0.0005, "eta_collapsed": 0.004, "eta_half": {"estimate": 0.0014142135623730955, "ci95": [null, null], "identified_set": null, "seed_factor": 1.0}}]}, {"detector": "half", "n_decided": 4, "n_collapsed": 2, "n_degraded": 0, "exponent": {"estimate": -4.423426543302832e-17, "ci95": [null, null], "identified_set": [-1.5000000000014433, 1.5000000000014433], "seed_factor": null}, "c_local": {"estimate": 0.0056568542494923775, "ci95": [null, null], "identified_set": [0.004, 0.008], "seed_factor": 1.0}, "immune": null, "eta_exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "k_exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "c_horizon": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "p_law": null, "brackets": [{"k": 2, "eta_stable": 0.0005, "eta_collapsed": 0.004, "eta_half": {"estimate": 0.0014142135623730955, "ci95": [null, null], "identified_set": null, "seed_factor": 1.0}}, {"k": 8, "eta_stable": 0.0005, "eta_collapsed": 0.004, "eta_half": {"estimate": 0.0014142135623730955, "ci95": [null, null], "identified_set": null, "seed_factor": 1.0}}]}, {"detector": "zero", "n_decided": 4, "n_collapsed": 0, "n_degraded": 2, "exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "c_local": {"estimate": null, "ci95": null, "identified_set": [0.004, null], "seed_factor": null}, "immune": null, "eta_exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "k_exponent": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "c_horizon": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}, "p_law": null, "brackets": [{"k": 2, "eta_stable": 0.0005, "eta_collapsed": null, "eta_half": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}}, {"k": 8, "eta_stable": 0.0005, "eta_collapsed": null, "eta_half": {"estimate": null, "ci95": null, "identified_set": null, "seed_factor": null}}]}], "fragile": [], "n_between": 0, "notes": []}}}, "runs": 4, "left_out": [], "inputs": {"digest": "ffe2951e1e81b706213205759c134ae046108e15996f713ed75c35c356d2b33b", "detector": "stored", "model": null, "detectors": {"half": {"fraction": 0.5, "min_evals": 3}, "zero": {"fraction": 0.5, "min_evals": 3}}, "code": {"version": "0.1.0", "commit": null}}}');
INSERT INTO public.run VALUES (1, 1, 0, 'stable', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 2, "eta": 0.0005, "seed": 0, "horizon": 40, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', 'c7b4f1f4c67f727d', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "python": null, "array_parallelism": 256, "slurm": {}, "runs_per_job": 1, "retries": {}}', 40, 40, NULL, NULL, NULL, 'half', NULL, 1, '0.1.0', NULL, '2026-12-01 04:14:58.666666+00', '/tmp/tmpz90o64if/postgres/runs/run-000001', NULL, NULL, NULL, 'e5bb0eb7d7804d8b88c15df98268c098');
INSERT INTO public.run VALUES (2, 2, 0, 'collapsed', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 2, "eta": 0.004, "seed": 0, "horizon": 40, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', 'cffd9b8a00b3a9b5', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "python": null, "array_parallelism": 256, "slurm": {}, "runs_per_job": 1, "retries": {}}', 40, 40, 8, 0, 4, 'half', NULL, 1, '0.1.0', NULL, '2026-12-01 04:14:59.301339+00', '/tmp/tmpz90o64if/postgres/runs/run-000002', NULL, NULL, NULL, '68d1de3933c24298903308e20aa4968c');
INSERT INTO public.run VALUES (3, 3, 0, 'stable', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 8, "eta": 0.0005, "seed": 0, "horizon": 40, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', 'bd91b0830e24d3a2', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "python": null, "array_parallelism": 256, "slurm": {}, "runs_per_job": 1, "retries": {}}', 40, 40, NULL, NULL, NULL, 'half', NULL, 1, '0.1.0', NULL, '2026-12-01 04:15:00.619236+00', '/tmp/tmpz90o64if/postgres/runs/run-000003', NULL, NULL, NULL, 'bee530072f5143eeb424400389ab600d');
INSERT INTO public.run VALUES (4, 4, 0, 'collapsed', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 8, "eta": 0.004, "seed": 0, "horizon": 40, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', '9284709e8d72cc63', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "python": null, "array_parallelism": 256, "slurm": {}, "runs_per_job": 1, "retries": {}}', 40, 40, 16, 8, 2, 'half', NULL, 1, '0.1.0', NULL, '2026-12-01 04:15:01.108854+00', '/tmp/tmpz90o64if/postgres/runs/run-000004', NULL, NULL, NULL, '5db8118c66b44f1daa9c86b6109133b9');
INSERT INTO public.run VALUES (5, 5, 0, 'pending', '{"model": {"name": "tiny", "path": "builtin:tiny", "dtype": "float32"}, "k": 4, "eta": 0.0005, "seed": 0, "horizon": 160, "pipeline": "reuse", "reuse": "replay", "sync_every_steps": 1, "prompts_per_batch": 16, "group_size": 8, "prompts_per_forward": null, "pack_groups": true, "temperature": 1.0, "max_completion_tokens": 4, "clip_eps": 1.0, "clip_eps_high": null, "kl_coef": 0.0, "kl_estimator": "k3", "advantage_std": true, "loss_aggregation": "sequence_mean", "correction": "none", "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0, "grad_clip": 1.0, "warmup_steps": 10}, "lora": {"rank": 0, "alpha": 16.0}, "learner_ranks": 1, "sampler": {"engine": "hf", "process": null, "count": 1, "device": "auto", "weight_transfer": "auto", "gpu_memory_utilization": 0.3}, "task": {"name": "arithmetic", "path": null, "options": {}, "template": null, "verifier": null, "val_prompts": 256}, "tiny": {"hidden_size": 32, "layers": 2, "heads": 4, "mlp_size": 64, "warmup_steps": 700, "warmup_batch_size": 256, "warmup_lr": 0.005, "corrupted_fraction": 0.5}, "eval_every_steps": 8, "collapse": {"detector": "half", "fraction": 0.5, "min_evals": 3, "stop_after_evals": 0}, "checkpoint_every_steps": 96, "checkpoint_every_s": 600.0, "device": "auto", "threads": 1}', '5d47cf9563412c21', '{"cpus": 1, "gpus": 0, "mem_gb": 2.0, "time_min": 30, "partition": null, "account": null, "qos": null, "gres": null, "constraint": null, "python": null, "array_parallelism": 256, "slurm": {}, "runs_per_job": 1, "retries": {}}', 160, 29, NULL, NULL, NULL, NULL, NULL, 1, '0.1.0', NULL, '2026-12-01 04:15:18.115066+00', '/tmp/tmpz90o64if/postgres/runs/run-000005', NULL, NULL, NULL, '2f5217ebe18a47528ef6b1464da971e2');
INSERT INTO public.stalesweep_version VALUES ('0007');
INSERT INTO public.sweep VALUES (1, 'finished', '326c7ef80d571348', 'name: finished
grid: {model: [tiny], k: [2, 8], eta: [5e-4, 4e-3], seed: [0]}
fixed: {horizon: 40}
', '2026-12-01 04:14:44.013381+00', 'grid', NULL);
INSERT INTO public.sweep VALUES (2, 'unfinished', '5341c754ea5224e2', 'name: unfinished
grid: {model: [tiny], k: [4], eta: [5e-4], seed: [0]}
fixed: {horizon: 160}
', '2026-12-01 04:15:10.599456+00', 'grid', NULL);
INSERT INTO public.sync_metric VALUES (2, 0, 1, 0, 0.3984375, 0.4915000796318054, NULL, 0, 0.5, 1, 1, 0.893674433083809, NULL, 0.8902213637831027, NULL, 3.460401177406311, 0.0806904025375843, 0.1573657989501953, 0.1573657989501953, 0.1613808050751686, 0.9832730889320374, 2.28816294670105, 0, 0, 0.030382320285014405, 0.10201312601566315, 0.9669836163520813, 0.889289140701294, 0.27181312441825867, 3.734375, 0, 0.0625, 5.070393171990872e-07, 0, 0.018298361002962338, 0.045941817999846535, 0.00015581099796690978, 0.022248903995205183, 478);
INSERT INTO public.sync_metric VALUES (2, 1, 1, 2, 0.4765625, 0.5014128684997559, NULL, 0, 0.5, 1, 1, 0.8791243044233816, 0.7561544016070325, 0.8165179610899327, -0.35648794391361427, 5.242730736732483, 0.12270855158567429, 0.3561071455478668, 0.2379508912563324, 0.4067979082465172, 0.9902098774909973, 4.934662818908691, 0, 0, 0.04877305775904626, 0.4683317095041275, 0.9266966581344604, 0.801930159330368, 0.2903505116701126, 3.515625, 0, 0.125, 5.685472501681943e-07, 0, 0.02736492500480381, 0.062312021997058764, 5.5082000471884385e-05, 0.028264727003261214, 450);
INSERT INTO public.sync_metric VALUES (1, 0, 1, 0, 0.3984375, 0.4915000796318054, NULL, 0, 0.5, 1, 1, 0.9871364555890378, NULL, 0.9974113916979808, NULL, 4.475968360900879, 0.010853941086679697, 0.02164541184902191, 0.02164541184902191, 0.021707882173359394, 0.9976880252361298, 1.197274088859558, 0, 0, 0.0006599260961483869, 0.0007226477027870715, 0.9987763166427612, 0.995353639125824, 0.2747586667537689, 3.734375, 0, 0.0625, 5.070393171990872e-07, 0, 0.03234449199953815, 0.08341503699921304, 6.81710007484071e-05, 0.03637981099745957, 478);
INSERT INTO public.sync_metric VALUES (1, 2, 1, 4, 0.65625, 0.47682511806488037, NULL, 0, 0.5, 1, 1, 0.9408595426398211, 0.8894332169929154, 0.8653520947619004, 0.2531238280996557, 4.027465462684631, 0.025405211374163628, 0.10213301330804825, 0.05005596950650215, 0.11284701060503721, 0.9941767752170563, 1.8004404306411743, 0, 0, 0.006027643103446767, 0.19553010910749435, 0.9909456074237823, 0.9676133394241333, 0.28226296603679657, 3.4375, 0, 0.0625, 5.15866588557401e-07, 0, 0.010525814996071858, 0.019632726998679573, 6.060899977455847e-05, 0.01154617599604535, 440);
INSERT INTO public.sync_metric VALUES (1, 3, 1, 6, 0.65625, 0.47682511806488037, 0.6328125, 0, 0.5, 1, 1, 0.9523505769989943, 0.9015816329780503, 0.9599126134607638, 0.4332111287649698, 4.810105085372925, 0.029147060588002205, 0.1459372192621231, 0.05759792402386665, 0.17114113178104162, 0.9977482855319977, 1.7888100147247314, 0, 0, 0.0031620843803750027, 0.20209909975528717, 0.9948664009571075, 0.9809368848800659, 0.27733996510505676, 3.5, 0, 0.0625, 5.252359756013902e-07, 0, 0.031025306998344604, 0.05036705299789901, 6.428599954233505e-05, 0.04465161600455758, 448);
INSERT INTO public.sync_metric VALUES (1, 4, 1, 8, 0.6796875, 0.4684300124645233, NULL, 0, 0.5, 1, 1, 0.9500350223477353, 0.9359645634885617, 0.8999734677769209, 0.5716353964153083, 3.0077645778656006, 0.033783648163080215, 0.1927560716867447, 0.06671960651874542, 0.23870842810720205, 0.9956907331943512, 1.3461569547653198, 0, 0, 0.00456053949906529, 0.18854033946990967, 0.993068277835846, 0.9770268201828003, 0.29949918389320374, 3.3671875, 0, 0.0625, 4.369055091046903e-07, 0, 0.009949541999958456, 0.008217123999202158, 6.850200225017034e-05, 0.012127387999498751, 431);
INSERT INTO public.sync_metric VALUES (1, 5, 1, 10, 0.7734375, 0.4202519655227661, NULL, 0, 0.5, 1, 1, 0.9570203453146352, 0.9564419127880031, 0.7179973672575319, 0.5492063620519589, 2.3037012219429016, 0.033611027523875237, 0.2360825389623642, 0.06649603694677353, 0.3059304831549525, 0.9903581440448761, 1.581634283065796, 0, 0, 0.006119264755455196, 0.18306289613246918, 0.9939902424812317, 0.9802094101905823, 0.23134666681289673, 3.5, 0, 0.125, 3.0977929554865113e-07, 0, 0.03936613500263775, 0.03731017799873371, 5.8297002397011966e-05, 0.04182747600134462, 448);
INSERT INTO public.sync_metric VALUES (1, 6, 1, 12, 0.546875, 0.4997538626194, NULL, 0, 0.5, 1, 1, 0.940256693210008, 0.9294265385435712, 0.9433374339841203, -0.08748112024725821, 5.571014404296875, 0.02485662419348955, 0.2693612277507782, 0.04896799847483635, 0.35564373154193163, 1.00408136844635, 2.389350414276123, 0, 0, 0.004294129088729051, 0.3256431519985199, 0.9883516430854797, 0.9654859006404877, 0.3033715784549713, 3.515625, 0, 0.0625, 5.10828385813511e-07, 0, 0.025744982998730848, 0.039193077998788795, 6.450499859056436e-05, 0.027114443997561466, 450);
INSERT INTO public.sync_metric VALUES (1, 7, 1, 14, 0.265625, 0.44340085983276367, 0.4921875, 0, 0.5, 1, 1, 0.9238730109216775, 0.9070178109681717, 0.9910161451127159, 0.7368985932713467, 6.204387664794922, 0.02047436311841011, 0.290413498878479, 0.04016193374991417, 0.39659245777875185, 0.9998637139797211, 1.225144386291504, 0, 0, 0.00151640956778267, 1.1162647008895874, 0.997523158788681, 0.9910976886749268, 0.31382063031196594, 3.5625, 0, 0.25, 5.52499614059343e-07, 0, 0.03225963600198156, 0.03418825400149217, 6.316399958450347e-05, 0.046402500996919116, 456);
INSERT INTO public.sync_metric VALUES (1, 8, 1, 16, 0.546875, 0.4997538626194, NULL, 0, 0.5, 1, 1, 0.9158370600455115, 0.8339622927301537, 0.8685973724698067, 0.3838571435076856, 2.60752010345459, 0.021983890794217587, 0.30357855558395386, 0.0430384986102581, 0.440560239367187, 0.9988952279090881, 1.377414345741272, 0, 0, 0.00286357733430152, 0.5016487836837769, 0.9954088628292084, 0.9849743247032166, 0.29587362706661224, 3.25, 0, 0.1875, 4.1088921420850966e-07, 0, 0.0442567699974461, 0.06420700899980147, 6.245199983823113e-05, 0.045375727997452486, 416);
INSERT INTO public.sync_metric VALUES (1, 9, 1, 18, 0.609375, 0.48980751633644104, NULL, 0, 0.5, 1, 1, 0.9508059529201016, 0.9085418342605023, 0.9800780984933344, 0.23355311653634145, 2.3158313035964966, 0.024472961202263832, 0.3126258850097656, 0.04834122955799103, 0.4895061617717147, 0.9963895082473755, 1.7454346418380737, 0, 0, 0.0030052585062908493, 0.40015240013599396, 0.9953744113445282, 0.9850711226463318, 0.2633693516254425, 3.375, 0, 0.25, 4.2820735757231887e-07, 0, 0.009832196999923326, 0.032771514997875784, 6.232200030353852e-05, 0.01252846199713531, 432);
INSERT INTO public.sync_metric VALUES (2, 2, 1, 4, 0.4140625, 0.49449479579925537, NULL, 0, 0.5, 1, 1, 0.8827830974580473, 0.7392391214513213, 0.6817030674826431, 0.0692739870431457, 2.731475591659546, 0.1487518846988678, 0.5588858723640442, 0.2887101471424103, 0.7043016776442528, 0.9736115336418152, 9.43343734741211, 0, 0, 0.06512415409104914, 6.256735026836395, 0.8944139182567596, 0.8441354334354401, 0.2729622423648834, 3.46875, 0, 0.3125, 5.098146971249662e-07, 0, 0.02616371400290518, 0.09068081299847108, 7.012400237726979e-05, 0.06443303999913041, 444);
INSERT INTO public.sync_metric VALUES (2, 3, 1, 6, 0.3515625, 0.4793342351913452, 0.17578125, 0, 0.5, 1, 1, 0.8620126190303438, 0.7791177353232788, 0.28478937955969347, 0.08261190066670489, 2.6543281078338623, 0.17154104262590408, 0.7709864377975464, 0.3310454487800598, 1.047383762896061, 1.0046056509017944, 10.99588680267334, 0, 0, 0.04318536818042235, 1.1878876090049744, 0.8673862516880035, 0.7545125782489777, 0.25704026222229004, 3.546875, 0, 0.4375, 4.7094496835597965e-07, 0, 0.02338820300064981, 0.029104140998242656, 6.689899964840151e-05, 0.028391813997586723, 454);
INSERT INTO public.sync_metric VALUES (2, 4, 1, 8, 0.0625, 0.24301259219646454, NULL, 0, 0.5, 1, 1, 0.9880609336364071, 0.8669728791557268, 0.353490014261454, 0.204117253402124, 0.8849552571773529, 0.19087909907102585, 1.0228254795074463, 0.3806172311306, 1.4291419610381126, 1.0136890411376953, 11.57773208618164, 0, 0.005037783179432154, 0.10317571461250931, 3.6057668328285217, 0.8243297934532166, 0.6767131239175797, 0.29250675439834595, 3.1015625, 0, 0.875, 6.044709266461723e-07, 0, 0.0768016500005615, 0.03885212300156127, 6.4515999838477e-05, 0.08173836299829418, 397);
INSERT INTO public.sync_metric VALUES (2, 5, 1, 10, 0.1484375, 0.356930136680603, NULL, 0, 0.5, 1, 1, 0.8684900649563354, 0.8644333009313623, 0.04123600020261254, -0.08597767991838814, 1.4419934749603271, 0.17057953774929047, 1.2627203464508057, 0.3297520577907562, 1.7703010365366936, 1.011364459991455, 4.670178413391113, 0, 0, 0.042529720813136114, 1.8233556747436523, 0.9513688385486603, 0.880232185125351, 0.2423292174935341, 3.5, 0, 0.6875, 3.7938508512525004e-07, 0, 0.01677704699613969, 0.06307319900224684, 6.0148999182274565e-05, 0.017795225001464132, 448);
INSERT INTO public.sync_metric VALUES (2, 6, 1, 12, 0.03125, 0.1746762990951538, NULL, 0, 0.5, 1, 1, 0.9745663816028198, 0.9073639457406801, 0.5489355682876068, 0.08148099505884719, 0.4583838880062103, 0.16072235256433487, 1.4756191968917847, 0.3193950951099396, 2.0917457416653633, 1.0005679726600647, 11.381653785705566, 0, 0.0011185682378709316, 0.06629484146848955, 2.060167074203491, 0.8201068341732025, 0.6584394872188568, 0.31906716525554657, 3.4921875, 0, 0.875, 4.6853580215611146e-07, 0, 0.014604767995479051, 0.05874005999430665, 6.216199835762382e-05, 0.01824466099787969, 447);
INSERT INTO public.sync_metric VALUES (2, 7, 1, 14, 0.0703125, 0.2566775381565094, 0.0390625, 0, 0.5, 1, 1, 0.8818957437855027, 0.8680966799961277, -0.21342114578674432, 0.008208674248587056, 1.3591036796569824, 0.15450282394886017, 1.6615440845489502, 0.29974645376205444, 2.4007513895630836, 0.9888885319232941, 10.251343727111816, 0, 0.0010964912362396717, 0.11905619502081781, 5.908357381820679, 0.798356831073761, 0.6801966279745102, 0.3061312884092331, 3.5625, 0, 0.8125, 4.572816862946638e-07, 0, 0.008285396001156187, 0.04186185199796455, 6.326400034595281e-05, 0.023306310002226382, 456);
INSERT INTO public.sync_metric VALUES (2, 8, 1, 16, 0.015625, 0.12450689822435379, NULL, 0, 0.5, 1, 1, 0.8987624338958136, 0.9083876219518646, -0.6835933342395486, -0.6036569948942166, 0.8931356370449066, 0.13989736884832382, 1.832184076309204, 0.27263393998146057, 2.6805461272597313, 0.991657555103302, 14.635725021362305, 0, 0.002518891589716077, 0.251819461584375, 4.183302283287048, 0.6863510757684708, 0.5793560743331909, 0.26145074516534805, 3.1015625, 0, 0.875, 5.109646394885203e-07, 0, 0.023255203996086493, 0.019954284001869382, 5.778500053565949e-05, 0.0325216739984171, 397);
INSERT INTO public.sync_metric VALUES (2, 9, 1, 18, 0, 0, NULL, 0, 0.5, 1, 1, 1.0000001002066101, 0.9999999232326044, NULL, NULL, 0, 0.11631078273057938, 1.9906604290008545, 0.23262161016464233, 2.91316769272089, 0.9806582927703857, 3.090235471725464, 0, 0, 0.027236938476632288, 3.8876404762268066, 0.9587283730506897, 0.9041985273361206, 0.269450418651104, 3.09375, 0, 1, 3.594557256292319e-07, 0, 0.029010853002546355, 0.059681564998754766, 6.053000106476247e-05, 0.030473970004095463, 396);
INSERT INTO public.sync_metric VALUES (2, 10, 1, 20, 0.0078125, 0.0883883461356163, NULL, 0, 0.5, 1, 1, 0.9922926300861037, 0.9022092855667084, 0.3434265840709749, NULL, 0.4290394112467766, 0.11576449126005173, 2.129321336746216, 0.23108258843421936, 3.1446966752409935, 0.998011440038681, 5.982118129730225, 0, 0.0011337868636474013, 0.16886544227623868, 297.8308992385864, 0.8759984076023102, 0.744017705321312, 0.2923346161842346, 3.4453125, 0, 0.9375, 5.668580911333265e-07, 0, 0.014135243000055198, 0.037700999000662705, 6.20219980191905e-05, 0.015196585998637602, 441);
INSERT INTO public.sync_metric VALUES (2, 11, 1, 22, 0, 0, 0.01953125, 0, 0.5, 1, 1, 0.9999997100235959, 1.0000002512362218, NULL, NULL, 0, 0.09902672469615936, 2.256671905517578, 0.1980534791946411, 3.3427501246333122, 0.9949153661727905, 6.992612838745117, 0, 0, 0.05563603341596344, 5.236558198928833, 0.9238397479057312, 0.8000718355178833, 0.2481885850429535, 3.40625, 0, 1, 4.5520962999034964e-07, 0, 0.00875916799850529, 0.0411728819963173, 6.382399806170724e-05, 0.024781867999990936, 436);
INSERT INTO public.sync_metric VALUES (1, 10, 1, 20, 0.671875, 0.4713755249977112, NULL, 0, 0.5, 1, 1, 0.9655498389424222, 0.9389808091152894, 0.9857694998572686, 0.20222751745315598, 3.798097014427185, 0.02620865684002638, 0.3174213767051697, 0.051964376121759415, 0.5419234754517674, 0.999893456697464, 1.4358404874801636, 0, 0, 0.0027415819932789785, 0.26507553458213806, 0.995215505361557, 0.9849638342857361, 0.2464437037706375, 3.59375, 0, 0.0625, 4.305700258555589e-07, 0, 0.022251287999097258, 0.14194860099814832, 6.08000009378884e-05, 0.031146455999987666, 460);
INSERT INTO public.sync_metric VALUES (1, 11, 1, 22, 0.546875, 0.4997538626194, 0.55859375, 0, 0.5, 1, 1, 0.9574757795935889, 0.9443556747435294, 0.8798679872294286, 0.07480404127152553, 3.4895347356796265, 0.02588711678981781, 0.32567912340164185, 0.051220882683992386, 0.5936977090314031, 1.000063717365265, 1.8110320568084717, 0, 0, 0.004139767494254342, 0.3208872079849243, 0.9927292764186859, 0.9728005230426788, 0.2939281761646271, 3.4921875, 0, 0, 4.648560150144476e-07, 0, 0.005859581000549952, 0.03700063100041007, 6.729899905622005e-05, 0.019027842001378303, 447);
INSERT INTO public.sync_metric VALUES (1, 12, 1, 24, 0.7421875, 0.43914902210235596, NULL, 0, 0.5, 1, 1, 0.945944837991538, 0.9436337420251387, 0.9587657945200022, 0.26542454970959667, 3.0901215076446533, 0.02329037059098482, 0.3363731801509857, 0.04594700038433075, 0.6402784502133727, 1.0013416409492493, 1.553519368171692, 0, 0, 0.0014306334779849066, 0.24473541975021362, 0.9972501695156097, 0.9893610179424286, 0.21121914684772491, 3.4375, 0, 0.1875, 3.7839990341126395e-07, 0, 0.034010448998742504, 0.027062336001108633, 6.460600343416445e-05, 0.046643827998195775, 440);
INSERT INTO public.sync_metric VALUES (1, 13, 1, 26, 0.59375, 0.4930621087551117, NULL, 0, 0.5, 1, 1, 0.9347207062742015, 0.9162699502675241, 0.8495598301440159, 0.5607838025350964, 3.6325230598449707, 0.022855345159769058, 0.34598690271377563, 0.04495896399021149, 0.6859891405329108, 0.996599018573761, 1.3324812650680542, 0, 0, 0.005112569313638117, 0.16819818317890167, 0.9936018288135529, 0.9800519645214081, 0.31081950664520264, 3.2421875, 0, 0.0625, 4.783897793458891e-07, 0, 0.03364886500276043, 0.035548920001019724, 5.947799945715815e-05, 0.03465210099966498, 415);
INSERT INTO public.sync_metric VALUES (1, 14, 1, 28, 0.5234375, 0.5014128684997559, NULL, 0, 0.5, 1, 1, 0.9506056836229155, 0.9359033755400906, 0.937843587552962, 0.37251237983754604, 3.8945993185043335, 0.022337093017995358, 0.3537348806858063, 0.04411913827061653, 0.7306633265689015, 0.9976801574230194, 1.274583101272583, 0, 0, 0.0024359954988484394, 0.8830375075340271, 0.9969364106655121, 0.9898312091827393, 0.2402360662817955, 3.4375, 0, 0.3125, 3.978474865107273e-07, 0, 0.010186182000325061, 0.025175389000651194, 9.747399963089265e-05, 0.011262045001785737, 440);
INSERT INTO public.sync_metric VALUES (1, 15, 1, 30, 0.65625, 0.47682511806488037, 0.61328125, 0, 0.5, 1, 1, 0.9540649037283295, 0.9077284768021706, 0.9573019546995903, 0.22683287959388712, 3.901134490966797, 0.023284055292606354, 0.3639397919178009, 0.04603114351630211, 0.7772314371541142, 0.9998258650302887, 1.5691777467727661, 0, 0, 0.0021345203279142335, 0.08158750087022781, 0.9960952699184418, 0.986836165189743, 0.24177272617816925, 3.484375, 0, 0.1875, 5.129587066221575e-07, 0, 0.010460447996592848, 0.029254593999212375, 5.947799945715815e-05, 0.02587158200185513, 446);
INSERT INTO public.sync_metric VALUES (1, 16, 1, 32, 0.6484375, 0.4793342351913452, NULL, 0, 0.5, 1, 1, 0.9476325588162703, 0.9540573421796409, 0.9760570814621385, 0.26982172679015237, 3.9612282514572144, 0.02158375084400177, 0.3769799768924713, 0.04259874299168587, 0.8203989388421178, 1.0021491050720215, 1.4255398511886597, 0, 0, 0.0013090977446144755, 0.2301245927810669, 0.9973808526992798, 0.9908428192138672, 0.21134617924690247, 3.4375, 0, 0.25, 3.976141442763037e-07, 0, 0.02736141900459188, 0.03538408499662182, 6.347399903461337e-05, 0.033080852997954935, 440);
INSERT INTO public.sync_metric VALUES (1, 17, 1, 34, 0.6484375, 0.4793342351913452, NULL, 0, 0.5, 1, 1, 0.9392290600116586, 0.9274348655758546, 0.8460752795775864, 0.46675756478151104, 2.480231285095215, 0.021722804754972458, 0.39134979248046875, 0.04278099536895752, 0.8638445483520627, 1.000380516052246, 3.002825975418091, 0, 0, 0.004685236606993526, 0.17717130482196808, 0.9865869581699371, 0.9832057952880859, 0.31631556153297424, 3.25, 0, 0.4375, 5.288528655000846e-07, 0, 0.02244191099816817, 0.0733989480031596, 6.105099964770488e-05, 0.0312339170013729, 416);
INSERT INTO public.sync_metric VALUES (1, 18, 1, 36, 0.6484375, 0.4793342351913452, NULL, 0, 0.5, 1, 1, 0.9516632389378245, 0.9238201955327583, 0.7081494079270803, -0.06649452305062455, 2.2185314893722534, 0.023534289561212063, 0.4052942395210266, 0.046496715396642685, 0.9109131274744868, 0.9967632591724396, 1.7873989343643188, 0, 0, 0.003200316336199128, 0.3420308530330658, 0.9945804476737976, 0.9799183905124664, 0.21421321481466293, 3.625, 0, 0.25, 3.7849844147785916e-07, 0, 0.020963110000593588, 0.05650380199949723, 6.788099926779978e-05, 0.026581142003124114, 464);
INSERT INTO public.sync_metric VALUES (1, 19, 1, 38, 0.65625, 0.47682511806488037, 0.66015625, 0, 0.5, 1, 1, 0.9444534120705522, 0.9362955435774245, 0.9883009192555444, 0.3930146959329525, 3.208163261413574, 0.021964733488857746, 0.4171314537525177, 0.04331514239311218, 0.9548425944522023, 0.9963082075119019, 1.3197158575057983, 0, 0, 0.0012161595516917588, 0.3503088802099228, 0.9981548488140106, 0.9936088621616364, 0.21265213936567307, 3.375, 0, 0.125, 5.111211294206441e-07, 0, 0.0246739569993224, 0.06725714799904381, 5.6213000789284706e-05, 0.027330271997925593, 432);
INSERT INTO public.sync_metric VALUES (2, 12, 1, 24, 0, 0, NULL, 0, 0.5, 1, 1, 0.9999998524253922, 1.0000000428425713, NULL, NULL, 0, 0.08216109126806259, 2.369713068008423, 0.16432219743728638, 3.5070723071694374, 1.0001246333122253, 4.447134494781494, 0, 0, 0.009827097878040812, 6.266095876693726, 0.9699024260044098, 0.9069802761077881, 0.17276307195425034, 3.3671875, 0, 1, 4.232719845731481e-07, 0, 0.028080163003323833, 0.00889545899553923, 5.8988000091630965e-05, 0.03259294899908127, 431);
INSERT INTO public.sync_metric VALUES (2, 13, 1, 26, 0.0234375, 0.15188287198543549, NULL, 0, 0.5, 1, 1, 0.9591582150466269, 0.6958246020174949, -0.9245867015874633, NULL, 1.363019347190857, 0.09420572966337204, 2.4649529457092285, 0.18650536239147186, 3.6954837664961815, 1.007311463356018, 7.3885979652404785, 0, 0, 0.11780478060256445, 5.533608913421631, 0.8929923176765442, 0.7768961191177368, 0.19318432360887527, 3.0703125, 0, 0.9375, 4.0724191308072477e-07, 0, 0.03657002699401346, 0.045329579999815905, 5.734499791287817e-05, 0.0483076179989439, 393);
INSERT INTO public.sync_metric VALUES (2, 14, 1, 28, 0.0625, 0.24301259219646454, NULL, 0, 0.5, 1, 1, 0.9999992380941078, 0.9999998491021812, NULL, NULL, 0, 0.07224133238196373, 2.5498273372650146, 0.14448264241218567, 3.839966431260109, 1.0324383974075317, 29.201675415039062, 0, 0, 0.05131070315845735, 4.2300097942352295, 0.6861502230167389, 0.5952342301607132, 0.17327209562063217, 3.3046875, 0, 1, 3.593395376810804e-07, 0, 0.04251964699869859, 0.04765604799831635, 6.164200021885335e-05, 0.05212907500390429, 423);
INSERT INTO public.sync_metric VALUES (2, 15, 1, 30, 0, 0, 0.00390625, 0, 0.5, 1, 1, 0.999999219992925, 0.9999991060267487, NULL, NULL, 0, 0.059959109872579575, 2.6242339611053467, 0.11991819739341736, 3.959884651005268, 1.0108430087566376, 16.756582260131836, 0, 0, 0.019141336903088804, 5.303735017776489, 0.8236104547977448, 0.6853045970201492, 0.15830276161432266, 3.46875, 0, 1, 3.2469247912558785e-07, 0, 0.04060928699982469, 0.05818551700212993, 6.226199911907315e-05, 0.049717892998160096, 444);
INSERT INTO public.sync_metric VALUES (2, 16, 1, 32, 0.0078125, 0.0883883461356163, NULL, 0, 0.5, 1, 1, 0.9925954760683133, 0.6490406796925903, 0.9902069102047167, NULL, 0.3525281697511673, 0.07938172295689583, 2.686713933944702, 0.15846940875053406, 4.11864809691906, 1.0098453760147095, 7.846388339996338, 0, 0.0011709601385518909, 0.023893438279680705, 5.140781879425049, 0.9061899781227112, 0.787549763917923, 0.17888007313013077, 3.3359375, 0, 0.9375, 3.370595038632018e-07, 0, 0.016129187002661638, 0.047022057999129174, 6.291300087468699e-05, 0.017766893000953132, 427);
INSERT INTO public.sync_metric VALUES (2, 17, 1, 34, 0.0546875, 0.22826264798641205, NULL, 0, 0.5, 1, 1, 0.9921459813500876, 0.5970127044715401, 0.9257838922137148, -0.019960538782352, 0.4344002455472946, 0.11977672576904297, 2.7524588108062744, 0.23908279836177826, 4.358201548457146, 1.0633743405342102, 41.79413986206055, 0, 0.002415458904579282, 0.12565772235408665, 5.727720260620117, 0.5676728636026382, 0.5355976782739162, 0.2240731492638588, 3.234375, 0, 0.875, 4.3322705778336967e-07, 0, 0.020607141999789746, 0.0509176599989587, 6.44550018478185e-05, 0.02520709700183943, 414);
INSERT INTO public.sync_metric VALUES (2, 18, 1, 36, 0.0625, 0.24301259219646454, NULL, 0, 0.5, 1, 1, 0.9999995195442961, 0.9999998855195189, NULL, NULL, 0, 0.1061326339840889, 2.8236818313598633, 0.21226529777050018, 4.5704668164253235, 1.009153962135315, 9.603960037231445, 0, 0, 0.050125963986133996, 5.57082200050354, 0.8868270218372345, 0.7848355174064636, 0.2220613658428192, 3.7109375, 0, 1, 4.778232209901034e-07, 0, 0.01816038600009051, 0.05217665400050464, 5.771499854745343e-05, 0.02289112500147894, 475);
INSERT INTO public.sync_metric VALUES (2, 19, 1, 38, 0, 0, 0.00390625, 0, 0.5, 1, 1, 0.9999997617557768, 0.9999998699061089, NULL, NULL, 0, 0.08793560788035393, 2.8931846618652344, 0.17587120831012726, 4.746338032186031, 0.9959562420845032, 3.6273317337036133, 0, 0, 0.03145460411940905, 7.616045951843262, 0.9663332104682922, 0.8931648433208466, 0.16017340868711472, 3.8515625, 0, 1, 4.6504803208335943e-07, 0, 0.04748106799888774, 0.08185917299852008, 6.569700053660199e-05, 0.0584919809953135, 493);
INSERT INTO public.sync_metric VALUES (3, 0, 1, 0, 0.3984375, 0.4915000796318054, 0.45703125, 0, 3.5, 7, 7, 0.9723718444115675, NULL, 0.8669148467522058, NULL, 2.52801825851202, 0.026159454020671546, 0.19423413276672363, 0.19423413276672363, 0.20927563216537237, 0.9448049888014793, 8.245010375976562, 0, 0.0023535564832855016, 0.11700552416736809, 1.262052894118824, 0.8974221274256706, 0.7530033811926842, 0.2922879755496979, 3.734375, 0, 0.0625, 5.070393171990872e-07, 0, 0.022342943000694504, 0.13583140800255933, 5.874699854757637e-05, 0.02718345400353428, 478);
INSERT INTO public.sync_metric VALUES (3, 1, 1, 8, 0.453125, 0.4997538626194, 0.55859375, 0, 3.5, 7, 7, 0.969704400017928, 0.922770458956836, 0.9171782898020974, 0.42923784348270333, 2.540187820792198, 0.03683170676231384, 0.37418290972709656, 0.2607601284980774, 0.5039292862638831, 0.965138703584671, 4.035090923309326, 0, 0.0033482143480796367, 0.20772333513020413, 0.59496795758605, 0.8766848519444466, 0.6393002532422543, 0.25282800756394863, 3.5, 0, 0.125, 6.462736337198294e-07, 0, 0.01762561399664264, 0.18724075599675416, 6.001900328556076e-05, 0.01934837600128958, 448);
INSERT INTO public.sync_metric VALUES (3, 2, 1, 16, 0.6015625, 0.4915000796318054, 0.4296875, 0, 3.5, 7, 7, 0.965137741394081, 0.9274392340571912, 0.827598897012474, -0.12265038123940461, 2.0390701442956924, 0.03302754322066903, 0.47403499484062195, 0.23463109135627747, 0.7681496320292354, 0.9654087945818901, 20.19061851501465, 0, 0.005872483248822391, 0.12356798344993779, 0.2874838411808014, 0.7911766655743122, 0.5733098462224007, 0.2590193971991539, 3.4921875, 0, 0.125, 4.4198128534844727e-07, 0, 0.049407772999984445, 0.14587352700254996, 6.566700176335871e-05, 0.06637775499984855, 447);
INSERT INTO public.sync_metric VALUES (3, 3, 1, 24, 0.53125, 0.5009832978248596, 0.4296875, 0, 3.5, 7, 7, 0.9823116781419733, 0.937621282502212, 0.9322991523702185, 0.1060521159022309, 1.202605165541172, 0.03303009900264442, 0.5745666027069092, 0.2490624189376831, 1.0323904240503907, 0.9922581538558006, 6.3717875480651855, 0, 0.0021551724057644606, 0.032151547449790895, 0.31343468464910984, 0.9595025181770325, 0.8795705884695053, 0.1993453986942768, 3.625, 0, 0.3125, 4.074293826761277e-07, 0, 0.019834286002151202, 0.15854901499915286, 5.856600182596594e-05, 0.026025428996945266, 464);
INSERT INTO public.sync_metric VALUES (3, 4, 1, 32, 0.28125, 0.4513758420944214, 0.46484375, 0, 3.5, 7, 7, 0.97453140838074, 0.9576900268181038, 0.8521790750187711, 0.11768406164142446, 2.333259828388691, 0.032561400439590216, 0.6667870283126831, 0.23744410276412964, 1.2928816275671124, 0.9523798227310181, 10.456995964050293, 0, 0.006470588152296841, 0.2254511445062813, 2.276554211974144, 0.8281611204147339, 0.5935963205993176, 0.3153412602841854, 3.3203125, 0, 0.4375, 6.039547315594973e-07, 0, 0.009763605998159619, 0.1110077889970853, 5.526199674932286e-05, 0.01146631899609929, 425);
INSERT INTO public.sync_metric VALUES (4, 0, 1, 0, 0.3984375, 0.4915000796318054, 0.35546875, 0, 3.5, 7, 7, 0.8318995906485233, NULL, 0.33807258440187066, NULL, 2.3033910244703293, 0.12191352248191833, 0.7428321242332458, 0.7428321242332458, 0.9753081798553467, 0.8657743036746979, 8.488245964050293, 0, 0.004968619236024097, 0.4536767974496315, 4869.752207938582, 0.7873790636658669, 0.5055171251296997, 0.291708629578352, 3.734375, 0, 0.0625, 5.070393171990872e-07, 0, 0.028493585999967763, 0.15891356600332074, 5.8276000345358625e-05, 0.029802196004311554, 478);
INSERT INTO public.sync_metric VALUES (4, 1, 1, 8, 0.4921875, 0.5019033551216125, 0.140625, 0, 3.5, 7, 7, 0.9002596959172501, 0.8244212308527767, 0.20685387797604118, -0.4287313261881496, 1.5850690715014935, 0.16374416276812553, 1.6240267753601074, 1.1474915742874146, 2.285261482000351, 1.0148137956857681, 92.10604858398438, 0, 0.010820045572472736, 0.6025644931942623, 4463.282119512558, 0.32661832962185144, 0.2501330610830337, 0.20150727406144142, 3.4296875, 0, 0.25, 4.514843396918877e-07, 0, 0.011943313998926897, 0.10163872800694662, 5.4490999900735915e-05, 0.016842884997458896, 439);
INSERT INTO public.sync_metric VALUES (4, 2, 1, 16, 0.1953125, 0.3979988098144531, 0.03125, 0, 3.5, 7, 7, 0.9244170443392147, 0.7462470293607375, 0.18539544913069753, 0.0949968762189752, 0.6836668411269784, 0.13002000376582146, 2.2303428649902344, 0.9037076830863953, 3.3254215121269226, 0.825536236166954, 17.881141662597656, 0, 0.01244212978053838, 1.36992754414681, 4672490.52295804, 0.4925466701388359, 0.22799341985955834, 0.23708770982921124, 3.375, 0, 0.8125, 4.0221686958830105e-07, 0, 0.020434735997696407, 0.15926745999968261, 6.064999979571439e-05, 0.021551389992964687, 432);
INSERT INTO public.sync_metric VALUES (4, 3, 1, 24, 0.0234375, 0.15188287198543549, 0.015625, 0, 3.5, 7, 7, 0.8457811600895796, 0.7969011135088072, -0.2789334681446561, -0.004176081493785012, 1.367825320456177, 0.09973309561610222, 2.6272459030151367, 0.7259479761123657, 4.12328627705574, 0.9212748482823372, 37.22260284423828, 0, 0.0024403471034020185, 0.6344312131407688, 134725.74723744392, 0.6234439872205257, 0.4028979614377022, 0.2295631729066372, 3.6015625, 0.328125, 0.9375, 8.798776889307192e-07, 0, 0.02398399499725201, 0.11170030500215944, 5.646299905492924e-05, 0.02508332100114785, 461);
INSERT INTO public.sync_metric VALUES (4, 4, 1, 32, 0, 0, 0.0078125, 0, 3.5, 7, 7, 0.999999936117569, 1.0000000179942874, NULL, NULL, 0, 0.055963125079870224, 2.8860292434692383, 0.4477050304412842, 4.570991277694702, 0.9917641431093216, 4.013210773468018, 0, 0, 0.09260961867406677, 6.93021434545517, 0.9127130508422852, 0.7678614407777786, 0.21940629743039608, 3.2265625, 0.3046875, 1, 5.084596068627434e-07, 0, 0.007194127996626776, 0.057485370998620056, 5.935799708822742e-05, 0.013897020999138476, 413);
INSERT INTO public.sync_metric VALUES (1, 1, 1, 2, 0.5546875, 0.4989531338214874, NULL, 0, 0.5, 1, 1, 0.9725044114674594, NULL, 0.9915986478327735, 0.5445154497096325, 4.469545602798462, 0.02016435284167528, 0.05871126428246498, 0.04005543142557144, 0.06203658785670996, 0.9961771965026855, 'NaN', 0, 0, 'Infinity', 0.014980595093220472, 0.9947558045387268, 0.9828941524028778, '-Infinity', 3.6015625, 0, 0.0625, 4.077803907875932e-07, 0, 0.022314290999929653, 0.04789735400117934, 6.708000000799075e-05, 0.023751780005113687, 461);
INSERT INTO public.sync_metric VALUES (5, 0, 1, 0, 0.3984375, 0.4915000796318054, NULL, 0, 1.5, 3, 3, 0.9862258242581724, NULL, 0.9909763429035455, NULL, 3.8298099637031555, 0.017435070825740695, 0.06898117065429688, 0.06898117065429688, 0.06974028330296278, 0.989193320274353, 1.9013439416885376, 0, 0, 0.012153271469373055, 0.024368428654270247, 0.983590304851532, 0.9416847676038742, 0.2705068588256836, 3.734375, 0, 0.0625, 5.070393171990872e-07, 0, 0.005770769999799086, 0.03997918200548156, 6.704999759676866e-05, 0.0070742110001447145, 478);
INSERT INTO public.sync_metric VALUES (5, 1, 1, 4, 0.6484375, 0.4793342351913452, 0.53515625, 0, 1.5, 3, 3, 0.9592139326749164, 0.9038665424037305, 0.8291158137745076, 0.3998848198569153, 3.0501477122306824, 0.03256441280245781, 0.1804601401090622, 0.12444152683019638, 0.19999793451279402, 0.9788002371788025, 4.404870510101318, 0, 0, 0.035818160278845615, 0.8837988283485174, 0.9512497782707214, 0.8251583874225616, 0.2656153589487076, 3.5859375, 0, 0.125, 4.779575988322904e-07, 0, 0.006471649001468904, 0.013892952996684471, 9.352900087833405e-05, 0.012656912000238663, 459);
INSERT INTO public.sync_metric VALUES (5, 2, 1, 8, 0.546875, 0.4997538626194, NULL, 0, 1.5, 3, 3, 0.9621052505409803, 0.9487381989551644, 0.9339462176840563, 0.6596083202842693, 4.070216655731201, 0.03624284639954567, 0.27957814931869507, 0.13852109014987946, 0.3449693201109767, 1.0133627951145172, 20.430713653564453, 0, 0.005148741533048451, 0.07266616495337692, 0.5433000922203064, 0.7993641942739487, 0.6768302693963051, 0.2801704853773117, 3.4140625, 0, 0.1875, 4.901385182165541e-07, 0, 0.008390550996409729, 0.028196906998346094, 7.788499715388753e-05, 0.011789907995989779, 437);
INSERT INTO public.sync_metric VALUES (5, 3, 1, 12, 0.7265625, 0.447474867105484, 0.51171875, 0, 1.5, 3, 3, 0.9444868224497797, 0.9071368049631601, 0.8374829912421982, 0.3053800963082321, 3.2319430112838745, 0.031184060033410788, 0.3398374319076538, 0.11676441878080368, 0.46970556024461985, 1.0009188503026962, 3.2939796447753906, 0, 0, 0.02977817738448989, 0.350460447371006, 0.9566512256860733, 0.8832559138536453, 0.2500610090792179, 3.5390625, 0, 0.25, 4.804273316949548e-07, 0, 0.006377169000188587, 0.03032042199993157, 6.818099791416898e-05, 0.00868381600594148, 453);
INSERT INTO public.sync_metric VALUES (5, 4, 1, 16, 0.421875, 0.4957992732524872, NULL, 0, 1.5, 3, 3, 0.9576481719848579, 0.9407012671806002, 0.9441512317485102, 0.496265954203656, 3.8424665927886963, 0.028329138178378344, 0.3782680332660675, 0.1075858548283577, 0.5830221129581332, 0.9969153553247452, 2.7057430744171143, 0, 0, 0.02034290670426476, 0.5198881179094315, 0.9779532253742218, 0.9268316626548767, 0.31485024094581604, 3.390625, 0, 0.25, 5.288314923745929e-07, 0, 0.012992068997846218, 0.06301621600505314, 7.33579981897492e-05, 0.01731913100593374, 434);
INSERT INTO public.sync_metric VALUES (5, 5, 1, 20, 0.65625, 0.47682511806488037, 0.578125, 0, 1.5, 3, 3, 0.9753602713197168, 0.946796669600641, 0.847257888779196, 0.4155075416191683, 2.2541245222091675, 0.03124113893136382, 0.4156598150730133, 0.12189570814371109, 0.7079866686835885, 0.9886740744113922, 3.985006809234619, 0, 0.004464285797439516, 0.02476782561292319, 0.8285731002688408, 0.9598188549280167, 0.8875859826803207, 0.22847523540258408, 3.5, 0, 0.1875, 4.5305520757210616e-07, 0, 0.0056921530012914445, 0.02533004799624905, 5.944800068391487e-05, 0.006844469000498066, 448);
INSERT INTO public.sync_metric VALUES (5, 6, 1, 24, 0.5234375, 0.5014128684997559, NULL, 0, 1.5, 3, 3, 0.9682426310709648, 0.9651465670094606, 0.9184925927674974, 0.1454240331260167, 2.673206239938736, 0.03159984154626727, 0.4532780945301056, 0.12157563865184784, 0.8343860348686576, 0.9902528822422028, 2.019726514816284, 0, 0, 0.024209984112583894, 0.35881369560956955, 0.9705914258956909, 0.9114987999200821, 0.3042284920811653, 3.484375, 0, 0.125, 4.058810532114876e-07, 0, 0.005544715000723954, 0.01879124100378249, 6.275299892877229e-05, 0.01172697499350761, 446);
SELECT pg_catalog.setval('public.cell_id_seq', 5, true);
SELECT pg_catalog.setval('public.fit_id_seq', 1, true);
SELECT pg_catalog.setval('public.run_id_seq', 5, true);
SELECT pg_catalog.setval('public.submission_id_seq', 1, false);
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
ALTER TABLE ONLY public.submission
    ADD CONSTRAINT pk_submission PRIMARY KEY (id);
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
ALTER TABLE ONLY public.submission
    ADD CONSTRAINT uq_submission_token UNIQUE (token);
ALTER TABLE ONLY public.sweep
    ADD CONSTRAINT uq_sweep_name UNIQUE (name);
CREATE INDEX ix_run_submission_id ON public.run USING btree (submission_id);
CREATE INDEX ix_submission_sweep_id ON public.submission USING btree (sweep_id);
ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT fk_attempt_run_id_run FOREIGN KEY (run_id) REFERENCES public.run(id);
ALTER TABLE ONLY public.cell
    ADD CONSTRAINT fk_cell_sweep_id_sweep FOREIGN KEY (sweep_id) REFERENCES public.sweep(id);
ALTER TABLE ONLY public.evaluation
    ADD CONSTRAINT fk_evaluation_run_id_attempt_attempt FOREIGN KEY (run_id, attempt) REFERENCES public.attempt(run_id, number);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT fk_run_cell_id_cell FOREIGN KEY (cell_id) REFERENCES public.cell(id);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT fk_run_submission_id_submission FOREIGN KEY (submission_id) REFERENCES public.submission(id);
ALTER TABLE ONLY public.submission
    ADD CONSTRAINT fk_submission_sweep_id_sweep FOREIGN KEY (sweep_id) REFERENCES public.sweep(id);
ALTER TABLE ONLY public.sync_metric
    ADD CONSTRAINT fk_sync_metric_run_id_attempt_attempt FOREIGN KEY (run_id, attempt) REFERENCES public.attempt(run_id, number);
