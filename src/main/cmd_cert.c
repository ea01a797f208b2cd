/* `tarn cert`: a certificate authority of one's own and what it vouches for, for a first secure start.
 * Invariants:
 * 1. No file is replaced, but the server's certificate and key by --renew.
 * 2. Keys never leave their files; every file is readable by its owner only.
 * 3. A key is written before its certificate: where the certificate stands, its key does too. */
#include "main/command.h"
#include "main/lake.h"
#include "main/render.h"
#include "os/cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CA_DAYS = 3650, LEAF_DAYS = 397, HOST_NAME_MAX_BYTES = 256, CLIENT_NAME_MAX = 64 };

const OptionRow cert_options[] = {
    { "--client", "NAME", "a client certificate for NAME (tls.client), besides or instead" },
    { "--days", "N", "how long certificates are good (default 397; the authority's own 3650)" },
    { "--out", "DIR", "where the files go (default DIR/tls of the data directory)" },
    { "--renew", NULL, "replace the server's certificate; SIGHUP makes a running server take it" },
    { NULL, NULL, NULL },
};

typedef struct Maker {
    const Args *args;
    Arena *arena;
    const char *dir;  /* of the files */
    Str data;         /* the data directory, for the advice */
    int days;
    Buf ca_cert, ca_key;
} Maker;

static const char *path_of(const Maker *maker, const char *stem, const char *suffix)
{
    return str_copy_z(maker->arena, str_format(maker->arena, "%s/%s%s", maker->dir, stem, suffix));
}

static bool is_there(const char *path)
{
    OsStat stat;
    return os_stat(os_real(), path, &stat, NULL) == E_OK;
}

static Code pair_write(const Maker *maker, const char *stem, const Buf *cert, const Buf *key, Err *err)
{
    TRY(os_write_whole(os_real(), path_of(maker, stem, ".key"), buf_str(key), err));
    return os_write_whole(os_real(), path_of(maker, stem, ".pem"), buf_str(cert), err);
}

/* The authority that is there, else a new one. */
static Code authority_get(Maker *maker, Err *err)
{
    const char *cert = path_of(maker, "ca", ".pem"), *key = path_of(maker, "ca", ".key");
    buf_init(&maker->ca_cert, CERT_PEM_BYTES_MAX);
    buf_init(&maker->ca_key, CERT_PEM_BYTES_MAX);
    if (is_there(cert) || is_there(key)) {
        TRY(os_read_whole(os_real(), cert, &maker->ca_cert, err));
        return os_read_whole(os_real(), key, &maker->ca_key, err);
    }
    TRY(cert_make_ca("tarn local authority", CA_DAYS, &maker->ca_cert, &maker->ca_key, err));
    TRY(pair_write(maker, "ca", &maker->ca_cert, &maker->ca_key, err));
    printf("authority  %s (new, good for %d days; its key beside it signs, keep it secret)\n", cert, CA_DAYS);
    return E_OK;
}

static Code leaf_make(const Maker *maker, const Str *names, size_t count, CertUse use, const char *stem, Err *err)
{
    Buf cert AUTO(buf_done), key AUTO(buf_done);
    buf_init(&cert, CERT_PEM_BYTES_MAX);
    buf_init(&key, CERT_PEM_BYTES_MAX);
    CertLeaf leaf = { .ca_cert_pem = buf_str(&maker->ca_cert), .ca_key_pem = buf_str(&maker->ca_key),
                      .names = names, .name_count = count, .days = maker->days, .use = use };
    TRY(cert_make_leaf(&leaf, &cert, &key, err));
    return pair_write(maker, stem, &cert, &key, err);
}

/* What the machine is called, besides names that every one has. */
static size_t names_default(Str *names, char *host)
{
    size_t count = 0;
    names[count++] = STR("localhost");
    names[count++] = STR("127.0.0.1");
    names[count++] = STR("::1");
    host[0] = '\0';
    if (gethostname(host, HOST_NAME_MAX_BYTES - 1) == 0 && host[0] && !str_eq(str_z(host), names[0]))
        names[count++] = str_z(host);
    return count;
}

static Code server_make(Maker *maker, Err *err)
{
    Str usual[4];
    char host[HOST_NAME_MAX_BYTES] = { 0 };
    const Str *names = maker->args->words;
    size_t count = maker->args->count;
    if (count == 0) {
        count = names_default(usual, host);
        names = usual;
    }
    const char *cert = path_of(maker, "server", ".pem");
    if (!args_has(maker->args, "--renew") && (is_there(cert) || is_there(path_of(maker, "server", ".key")))) {
        Code code = err_set(err, E_EXISTS, "%s is there already", cert);
        return err_hint(err, code, "--renew replaces it, --out DIR writes elsewhere, --client NAME is for clients");
    }
    TRY(leaf_make(maker, names, count, CERT_SERVER, "server", err));
    printf("server     %s for", cert);
    for (size_t i = 0; i < count; i++)
        printf("%s " STR_FMT, i ? "," : "", STR_ARG(names[i]));
    printf(" (%d days)\n", maker->days);
    return E_OK;
}

static Code client_make(Maker *maker, Str name, Err *err)
{
    bool fits = name.len > 0 && name.len <= CLIENT_NAME_MAX && name.ptr[0] != '.' && name.ptr[0] != '-';
    for (size_t i = 0; i < name.len; i++)
        fits = fits && ((name.ptr[i] >= 'a' && name.ptr[i] <= 'z') || (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z') ||
                        (name.ptr[i] >= '0' && name.ptr[i] <= '9') || str_find_char(STR("._-@"), name.ptr[i]) >= 0);
    if (!fits)
        return err_set(err, E_INVALID, "a client's name has 1 to %d letters, digits, `.`, `_`, `-`, `@`",
                       CLIENT_NAME_MAX);
    const char *stem = str_copy_z(maker->arena, str_format(maker->arena, "client-" STR_FMT, STR_ARG(name)));
    const char *cert = path_of(maker, stem, ".pem");
    if (is_there(cert) || is_there(path_of(maker, stem, ".key")))
        return err_hint(err, err_set(err, E_EXISTS, "%s is there already", cert), "remove it and its key first");
    TRY(leaf_make(maker, &name, 1, CERT_CLIENT, stem, err));
    printf("client     %s for " STR_FMT " (%d days)\n", cert, STR_ARG(name), maker->days);
    return E_OK;
}

/* How to start, and how to ask then; `name` is one that the server's certificate has. */
static void advice_print(const Maker *maker, Str client)
{
    const char *ca = path_of(maker, "ca", ".pem");
    bool own = args_get(maker->args, "--out").len > 0;
    Str name = maker->args->count ? maker->args->words[0] : STR("localhost");
    bool near = str_eq(name, STR("localhost")) || str_eq(name, STR("127.0.0.1"));
    if (args_has(maker->args, "--renew")) {
        printf("\nnext: kill -HUP the running server, which then shows it to new connections\n");
        return;
    }
    printf("\nnext: tarn serve --data " STR_FMT " --https %s:8443", STR_ARG(maker->data),
           near ? "127.0.0.1" : "0.0.0.0");
    if (own)
        printf(" --set 'tls.certificates=%s %s'", path_of(maker, "server", ".pem"),
               path_of(maker, "server", ".key"));
    if (client.len)
        printf(" --set tls.client=optional");
    if (client.len && own)
        printf(" --set tls.client_ca=%s", ca);
    printf("\n      curl --cacert %s", ca);
    if (client.len)
        printf(" --cert %s/client-" STR_FMT ".pem --key %s/client-" STR_FMT ".key", maker->dir, STR_ARG(client),
               maker->dir, STR_ARG(client));
    printf(" https://" STR_FMT ":8443/v1/health\n", STR_ARG(name));
}

static Code days_read(const Args *args, int *ret_days, Err *err)
{
    int64_t days = LEAF_DAYS;
    Str text = args_get(args, "--days");
    if (text.len && (!str_i64(text, &days) || days < 1 || days > CA_DAYS))
        return err_set(err, E_INVALID, "--days takes 1 to %d, not '" STR_FMT "'", CA_DAYS, STR_ARG(text));
    *ret_days = (int)days;
    return E_OK;
}

static Code all_make(Maker *maker, Err *err)
{
    Str client = args_get(maker->args, "--client");
    bool wants_server = maker->args->count > 0 || args_has(maker->args, "--renew") || !client.len ||
                        !is_there(path_of(maker, "server", ".pem"));
    TRY(lake_dirs_make(maker->dir, err));
    TRY(authority_get(maker, err));
    if (wants_server)
        TRY(server_make(maker, err));
    if (args_has(maker->args, "--client"))
        TRY(client_make(maker, client, err));
    advice_print(maker, client);
    return E_OK;
}

Code command_cert(const Args *args, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    Maker maker = { .args = args, .arena = &arena };
    TRY(days_read(args, &maker.days, err));
    maker.data = args_get(args, "--data");
    if (!maker.data.len)
        maker.data = str_z(getenv("TARN_DATA"));
    if (!maker.data.len)
        maker.data = STR("tarn-data");
    Str out = args_get(args, "--out");
    maker.dir = str_copy_z(&arena, out.len ? out : str_format(&arena, STR_FMT "/tls", STR_ARG(maker.data)));
    Code code = all_make(&maker, err);
    buf_done(&maker.ca_cert);
    buf_done(&maker.ca_key);
    return code;
}
