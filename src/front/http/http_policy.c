/* The hooks between a request and what holds for every route. */
#include "front/http/http_policy.h"

#include "front/http/http_priv.h"

struct Policy {
    Os *os;
    Limits *limits;
};

Code policy_new(Os *os, const HttpPolicy *options, Policy **ret_policy, Err *err)
{
    static const HttpPolicy defaults;
    Policy *policy = mem_new(sizeof *policy);
    policy->os = os;
    Code code = limits_new(options ? &options->limits : &defaults.limits, &policy->limits, err);
    if (code != E_OK) {
        policy_free(&policy);
        return code;
    }
    *ret_policy = policy;
    return E_OK;
}

void policy_free(Policy **policy)
{
    if (!*policy)
        return;
    limits_free(&(*policy)->limits);
    mem_free(policy);
}

Limits *policy_limits(Policy *policy)
{
    return policy->limits;
}

bool policy_conn_admit(void *policy, const NetAddress *peer)
{
    (void)policy, (void)peer;
    return true;
}

void policy_conn_gone(void *policy, const NetAddress *peer)
{
    (void)policy, (void)peer;
}

bool policy_trusts(void *policy, const NetAddress *peer)
{
    (void)policy, (void)peer;
    return false;
}

void policy_head(HttpReq *r)
{
    (void)r;
}

bool policy_admit(HttpReq *r)
{
    (void)r;
    return true;
}

bool policy_admit_key(HttpReq *r)
{
    (void)r;
    return true;
}

void policy_reply(HttpReq *r)
{
    (void)r;
}

void policy_over(HttpReq *r)
{
    req_count(r);
}
