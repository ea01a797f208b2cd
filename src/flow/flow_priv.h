/* flow_priv.h: what the files of flow/ share: the project, one model's run, the state of a Flow.
 * Owner:   a Project is counted; each holder frees its own reference.
 * Threads: a Project never changes; the mutex of a Flow guards what stands below it.
 * Errors:  as flow.h.
 * Limits:  as flow.h.
 * Units:   as flow.h. */
#pragma once

#include "flow/flow.h"
#include "flow/suite.h"
#include "os/thread.h"

typedef struct FlowNode {
    Model model;
    Suite suite;
    Str fingerprint;
    SqlDependency *deps;
    size_t dep_count;
    size_t *inputs; /* nodes of the project among the dependencies and references */
    size_t input_count;
    Str seed_text;
} FlowNode;

typedef struct Project {
    Arena arena;
    FlowNode *nodes; /* inputs first */
    size_t count;
    unsigned refs;   /* atomic */
} Project;

struct Flow {
    FlowOptions options;
    Mutex mutex; /* guards project, running, and what run.c keeps of the run that is going on */
    Cond idle; /* `running` is over */
    Project *project;
    bool running;
    bool of_arrival; /* the run that is going on */
    Str live_run;    /* JSON of the run that is going on, in live_arena */
    Str live_id;
    Arena live_arena;
};

/* The principal of runs that nobody asked for: arrivals.c. */
#define ARRIVAL STR("arrival")

Project *project_ref(Flow *flow);
void project_free(Project **project); /* fit for AUTO */
const FlowNode *project_node(const Project *project, Str name);
/* Parses, checks, orders. Nothing is written. */
Code project_build(Flow *flow, const FlowFile *files, size_t count, Project **ret_project,
                   Err *err) CHECKED;

/* The state of all that a model reads, as 16 digits: snapshots, versions of objects, texts of views. An
 * input that is not there counts as "none". */
Code flow_signature(Flow *flow, const Project *project, const FlowNode *node, Arena *arena,
                    Str *ret_signature, Err *err) CHECKED;
/* Key of the setting that keeps "FINGERPRINT SIGNATURE" of the last publish. */
Str flow_signature_key(Arena *arena, Str model);

/* SqlSourceResolve over source_find; self is the Flow. */
Code flow_source_resolve(void *self, Str source, Str name, bool all, Arena *arena,
                         Str **ret_addresses, size_t *ret_count, Err *err);

/* 16 digits of SHA-256. */
Str flow_hash(Arena *arena, Str text);

/* One model of a run (run_model.c). The report is filled in every case. */
typedef struct ModelRun {
    Flow *flow;
    const Project *project;
    const FlowNode *node;
    const FlowStep *step;
    Str run_id;
    Arena *arena;              /* of the report */
    FlowModelReport *report;
    const bool *cancel;
    void (*phase)(void *arg, const struct ModelRun *run, const char *phase, double fraction);
    void *phase_arg;
} ModelRun;

void model_run(ModelRun *run);
