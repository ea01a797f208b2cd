/* `tarn fetch`: a request of the lake's own whose target a user chose, as fetch.* lets it through. */
#include "main/command.h"
#include "main/door_settings.h"
#include "main/settings.h"
#include "os/loop.h"

#include <stdio.h>

const OptionRow fetch_options[] = {
    { "--config", "FILE", "settings file (default DIR/tarn.yaml when it is there)" },
    { "--set", "KEY=VALUE", "any setting by its key" },
    { NULL, NULL, NULL },
};

static Code fetch_print(const FetcherOptions *options, Str url, Err *err)
{
    Fetcher *fetcher AUTO(fetcher_free) = NULL;
    FetchReply reply;
    FetchOptions fetch = { .url = url, .from_user = true, .redirects_max = FETCH_REDIRECTS_MAX };
    TRY(fetcher_new(options, &fetcher, err));
    TRY(fetch_wait(fetcher, &fetch, NULL, &reply, err));
    fwrite(reply.head.ptr, 1, reply.head.len, stderr);
    fwrite(reply.body.ptr, 1, reply.body.len, stdout);
    fetch_reply_done(&reply);
    return E_OK;
}

Code command_fetch(const Args *args, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    Conf conf AUTO(conf_done) = { 0 };
    Loops *loops AUTO(loops_free) = NULL;
    FetcherOptions options;
    if (args->count != 1)
        return err_hint(err, err_set(err, E_INVALID, "`tarn fetch` takes one URL, not %zu", args->count),
                        "tarn fetch https://data.example.org/daily.csv");
    TRY(settings_load(&conf, args, err));
    TRY(door_fetch(&conf, &arena, &options, err));
    TRY(loops_start(&(LoopOptions){ .os = os_real(), .loops = 1 }, &loops, err));
    options.os = os_real();
    options.loop = loops_at(loops, 0);
    return fetch_print(&options, args->words[0], err);
}
