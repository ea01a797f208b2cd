/* Covers worker.c, worker_lock.c, worker_zygote.c. */
#include "base/test.h"
#include "os/thread.h"
#include "os/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED /* a sanitizer's own memory is over any limit */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

enum { ECHO, CRASH, SPIN, TRY_MACHINE, HOG, BIG, FAIL, READ_FDS, THREADS, WRITE_FD, BODY_COUNT };

static Code echo(WorkerCall *call, Err *err)
{
    return worker_reply(call, call->request, err);
}

static Code crash(WorkerCall *call, Err *err)
{
    TRY(worker_reply(call, STR("before"), err));
    abort();
}

static Code spin(WorkerCall *call, Err *err)
{
    (void)call;
    (void)err;
    for (volatile bool forever = true; forever;)
        continue;
    return E_OK;
}

/* Tries what a hostile decoder would and answers the letters of what worked. */
static Code try_machine(WorkerCall *call, Err *err)
{
    char worked[16] = "";
    size_t at = 0;
    int fd = open("/etc/passwd", O_RDONLY);
    worked[at++] = fd >= 0 ? 'o' : '-';
    worked[at++] = open("/tmp/tarn-worker-was-here", O_WRONLY | O_CREAT, 0600) >= 0 ? 'c' : '-';
    worked[at++] = socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 's' : '-';
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    worked[at++] = child > 0 ? 'f' : '-';
    worked[at++] =
        mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED
            ? 'x'
            : '-';
    worked[at++] = kill(getppid(), 0) == 0 ? 'k' : '-';
    worked[at++] = unlink("/tmp/tarn-nothing") == 0 || errno == ENOENT ? 'u' : '-';
    char *const none[] = { NULL };
    execve("/bin/true", none, none);
    return worker_reply(call, str_of(worked, at), err);
}

static Code hog(WorkerCall *call, Err *err)
{
    size_t size = 1 << 20;
    for (int i = 0; i < 1000; i++)
        memset(mem_new(size), 1, size); /* the process ends when there is none */
    return worker_reply(call, STR("got it all"), err);
}

static Code big(WorkerCall *call, Err *err)
{
    char *bytes = mem_new(5 << 20);
    memset(bytes, 'b', 5 << 20);
    return worker_reply(call, str_of(bytes, 5 << 20), err);
}

static Code fail(WorkerCall *call, Err *err)
{
    (void)call;
    err_set(err, E_CORRUPT, "line %d is wrong", 7);
    err_place(err, E_CORRUPT, "file.csv:7");
    err_hint(err, E_CORRUPT, "look at it");
    return err_at(err, E_CORRUPT, 42);
}

static Code read_fds(WorkerCall *call, Err *err)
{
    for (size_t i = 0; i < call->fd_count; i++) {
        char bytes[64];
        ssize_t len = pread(call->fds[i], bytes, sizeof bytes, 0);
        if (len < 0)
            return err_set(err, E_IO, "%s", strerror(errno));
        TRY(worker_reply(call, str_of(bytes, (size_t)len), err));
    }
    return E_OK;
}

static void *add_one(void *number)
{
    ++*(int *)number;
    return NULL;
}

static Code threads(WorkerCall *call, Err *err)
{
    pthread_t inner[4];
    int numbers[4] = { 0 }, sum = 0;
    for (int i = 0; i < 4; i++)
        if (pthread_create(&inner[i], NULL, add_one, &numbers[i]) != 0)
            return err_set(err, E_INTERNAL, "no thread");
    for (int i = 0; i < 4; i++) {
        pthread_join(inner[i], NULL);
        sum += numbers[i];
    }
    return worker_reply(call, sum == 4 ? STR("4") : STR("?"), err);
}

static Code write_fd(WorkerCall *call, Err *err)
{
    if (write(call->fds[0], "x", 1) != 1)
        return err_set(err, E_FORBIDDEN, "%s", strerror(errno));
    return E_OK;
}

static void start(void)
{
    static WorkerBody *const bodies[] = { echo, crash, spin,     try_machine, hog,
                                          big,  fail,  read_fds, threads,     write_fd };
    Err err;
    for (unsigned i = 0; i < BODY_COUNT; i++)
        worker_register(i, "test", bodies[i], NULL);
    CHECK_OK(worker_start(2, &err), &err);
    CHECK(worker_running());
}

static Code answer(WorkerRequest request, Buf *out, Err *err)
{
    buf_init(out, 16 << 20);
    request.what = STR("s3://bronze/x");
    return worker_run(&request, out, err);
}

TEST(worker_answers_many_times)
{
    start();
    for (int i = 0; i < 50; i++) {
        Buf out AUTO(buf_done);
        Err err;
        CHECK_OK(answer((WorkerRequest){ .id = ECHO, .request = STR("hello") }, &out, &err), &err);
        CHECK_STR(buf_str(&out), STR("hello"));
    }
    worker_stop();
    CHECK(!worker_running());
}

TEST(worker_carries_much_both_ways)
{
    Buf text AUTO(buf_done), out AUTO(buf_done), more AUTO(buf_done);
    Err err;
    start();
    buf_init(&text, 4 << 20);
    buf_put_zeros(&text, 4 << 20);
    CHECK_OK(answer((WorkerRequest){ .id = ECHO, .request = buf_str(&text) }, &out, &err), &err);
    CHECK(str_eq(buf_str(&out), buf_str(&text)));
    CHECK_OK(answer((WorkerRequest){ .id = BIG }, &more, &err), &err);
    CHECK_INT(more.len, 5 << 20);
    worker_stop();
}

TEST(worker_deaths_are_told)
{
    Buf out AUTO(buf_done), hogged AUTO(buf_done), after AUTO(buf_done);
    Err err;
    start();
    CHECK_CODE(answer((WorkerRequest){ .id = CRASH }, &out, &err), E_WORKER_DIED);
    CHECK_STR(str_z(err.place), STR("s3://bronze/x"));
    CHECK_STR(buf_str(&out), STR("before"));
#ifndef SANITIZED
    WorkerRequest small = { .id = HOG, .limits.memory_bytes = 64 << 20 };
    CHECK_CODE(answer(small, &hogged, &err), E_WORKER_DIED);
#else
    buf_init(&hogged, 1);
#endif
    CHECK_OK(answer((WorkerRequest){ .id = ECHO, .request = STR("x") }, &after, &err), &err);
    worker_stop();
}

TEST(worker_has_no_machine)
{
    Buf out AUTO(buf_done);
    Err err;
    start();
    CHECK_OK(answer((WorkerRequest){ .id = TRY_MACHINE }, &out, &err), &err);
    CHECK_STR(buf_str(&out), STR("-------"));
    CHECK(access("/tmp/tarn-worker-was-here", F_OK) != 0);
    worker_stop();
}

TEST(worker_errors_come_whole)
{
    Buf out AUTO(buf_done), none AUTO(buf_done);
    Err err;
    start();
    CHECK_CODE(answer((WorkerRequest){ .id = FAIL }, &out, &err), E_CORRUPT);
    CHECK_STR(str_z(err.text), STR("line 7 is wrong"));
    CHECK_STR(str_z(err.place), STR("file.csv:7"));
    CHECK_STR(str_z(err.hint), STR("look at it"));
    CHECK_INT(err.position, 42);
    CHECK_CODE(answer((WorkerRequest){ .id = 15 }, &none, &err), E_INTERNAL);
    worker_stop();
}

TEST(worker_reads_what_it_was_given)
{
    Buf out AUTO(buf_done);
    Err err;
    int fds[3];
    start();
    for (int i = 0; i < 3; i++)
        CHECK_OK(worker_memory_fd(i == 1 ? STR("two ") : STR("one "), &fds[i], &err), &err);
    CHECK_OK(answer((WorkerRequest){ .id = READ_FDS, .fds = fds, .fd_count = 3 }, &out, &err),
             &err);
    CHECK_STR(buf_str(&out), STR("one two one "));
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    worker_stop();
}

TEST(worker_writes_no_file)
{
    Buf out AUTO(buf_done), sealed AUTO(buf_done);
    Err err;
    start();
    FILE *file = tmpfile();
    int fd = fileno(file), memory;
    CHECK_CODE(answer((WorkerRequest){ .id = WRITE_FD, .fds = &fd, .fd_count = 1 }, &out, &err),
               E_WORKER_DIED);
    CHECK_OK(worker_memory_fd(STR("x"), &memory, &err), &err);
    CHECK(answer((WorkerRequest){ .id = WRITE_FD, .fds = &memory, .fd_count = 1 }, &sealed, &err) !=
          E_OK);
    close(memory);
    fclose(file);
    worker_stop();
}

TEST(worker_starts_threads)
{
    Buf out AUTO(buf_done);
    Err err;
    start();
    CHECK_OK(answer((WorkerRequest){ .id = THREADS }, &out, &err), &err);
    CHECK_STR(buf_str(&out), STR("4"));
    worker_stop();
}

TEST(worker_that_does_not_end_is_ended)
{
    Buf out AUTO(buf_done), after AUTO(buf_done);
    Err err;
    start();
    for (int i = 0; i < 4; i++) { /* more than wait */
        Buf late AUTO(buf_done);
        CHECK_CODE(answer((WorkerRequest){ .id = SPIN, .timeout_ms = 50 }, &late, &err), E_TIMEOUT);
    }
    buf_init(&out, 1);
    CHECK_OK(answer((WorkerRequest){ .id = ECHO, .request = STR("x") }, &after, &err), &err);
    worker_stop();
}

static void *raise_flag(void *arg)
{
    __atomic_store_n((bool *)arg, true, __ATOMIC_RELEASE);
    return NULL;
}

TEST(worker_whose_caller_cancels_is_ended)
{
    Buf out AUTO(buf_done);
    Err err;
    bool cancel = true;
    Thread thread = { 0 };
    start();
    CHECK_CODE(answer((WorkerRequest){ .id = SPIN, .cancel = &cancel }, &out, &err), E_CANCELLED);
    buf_done(&out);
    cancel = false;
    CHECK_OK(thread_start(&thread, "cancel", raise_flag, &cancel, &err), &err);
    CHECK_CODE(answer((WorkerRequest){ .id = SPIN, .cancel = &cancel }, &out, &err), E_CANCELLED);
    thread_join(&thread);
    worker_stop();
}

TEST(worker_jobs_at_once_and_given_up)
{
    enum { MANY = 10 };
    WorkerJob *many[MANY] = { NULL };
    Err err;
    start();
    for (int i = 0; i < MANY; i++) {
        WorkerRequest request = { .id = i % 2 ? BIG : ECHO, .request = STR("y") };
        CHECK_OK(worker_job_new(&request, &many[i], &err), &err);
    }
    for (int i = MANY - 1; i >= 0; i--) {
        char byte;
        size_t len = 0;
        if (i != 3)
            CHECK_OK(worker_job_read(many[i], &byte, 1, &len, &err), &err);
        CHECK(i == 3 || byte == (i % 2 ? 'b' : 'y'));
        worker_job_free(&many[i]);
    }
    worker_stop();
}

TEST(worker_needs_a_start)
{
    Buf out AUTO(buf_done);
    Err err;
    CHECK_CODE(answer((WorkerRequest){ .id = ECHO }, &out, &err), E_UNAVAILABLE);
}

/* The only child of this process is the zygote. */
static pid_t zygote_pid(void)
{
    char text[64] = "";
    int64_t pid = 0;
    snprintf(text, sizeof text, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(text, "r");
    size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    return str_i64(str_trim(str_of(text, len)), &pid) ? (pid_t)pid : 0;
}

TEST(worker_zygote_that_dies_is_noticed)
{
    Buf out AUTO(buf_done), again AUTO(buf_done);
    Err err;
    start();
    pid_t zygote = zygote_pid();
    CHECK(zygote > 0);
    if (zygote > 0) {
        siginfo_t state;
        kill(zygote, SIGKILL);
        CHECK(waitid(P_PID, (id_t)zygote, &state, WEXITED | WNOWAIT) == 0);
        CHECK(!worker_running());
        WorkerRequest request = { .id = ECHO, .request = STR("x"), .timeout_ms = 20000 };
        Code code = answer(request, &out, &err); /* a worker that was waiting may still be ending */
        CHECK(code == E_UNAVAILABLE || code == E_WORKER_DIED || code == E_OK);
    }
    worker_stop();
    start();
    CHECK_OK(answer((WorkerRequest){ .id = ECHO, .request = STR("x") }, &again, &err), &err);
    worker_stop();
}

/* ---- a machine that has no process to give for a while ---- */

static pid_t *the_zygote_seen; /* shared */

static void forks_stop(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NPROC, &limit);
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_NPROC, &limit);
    *the_zygote_seen = getpid();
}

/* In a process of its own, whose user the limit counts for: 0: answered, 1: not, 2: it cannot be tried here. */
static int answered_when_there_is_room(void)
{
    enum { OTHER_USER = 64999, TRIES_US = 50000 };
    struct rlimit limit;
    WorkerJob *job = NULL;
    char byte;
    size_t len = 0;
    if (getuid() == 0 && (setresgid(OTHER_USER, OTHER_USER, OTHER_USER) != 0 ||
                          setresuid(OTHER_USER, OTHER_USER, OTHER_USER) != 0))
        return 2;
    worker_register(ECHO, "test", echo, forks_stop);
    if (getrlimit(RLIMIT_NPROC, &limit) != 0 || worker_start(1, NULL) != E_OK)
        return 2;
    while (__atomic_load_n(the_zygote_seen, __ATOMIC_ACQUIRE) == 0)
        usleep(200);
    usleep(TRIES_US); /* it tries in vain; where it has not yet, it will be well all the same */
    WorkerRequest request = { .id = ECHO, .request = STR("x"), .timeout_ms = 20000 };
    bool waits = worker_job_new(&request, &job, NULL) == E_OK;
    if (prlimit(*the_zygote_seen, RLIMIT_NPROC, &limit, NULL) != 0)
        return 2;
    bool answered = waits && worker_job_read(job, &byte, 1, &len, NULL) == E_OK && len == 1;
    worker_job_free(&job);
    worker_stop();
    return answered ? 0 : 1;
}

TEST(worker_comes_when_there_are_processes_again)
{
    int status = -1;
    the_zygote_seen = mmap(NULL, sizeof *the_zygote_seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(the_zygote_seen != MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0)
        _exit(answered_when_there_is_room());
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) != 1);
    if (WEXITSTATUS(status) == 2)
        printf("     not tried: the limit of processes cannot be set here\n");
    munmap(the_zygote_seen, sizeof *the_zygote_seen);
}
