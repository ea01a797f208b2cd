/* The peer of the ingest bench: accepts one connection, reads a request head and its body, hashes the body
 * with SHA-256, writes it to a file, syncs file and directory, answers. Nothing else.
 * usage: ingest_plain PORT FILE */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

static char block[BLOCK];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_on(int port)
{
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 8))
        die("listen");
    return fd;
}

/* Reads up to the end of the head; gives what belongs to the body already. */
static size_t head_read(int fd, long long *length)
{
    size_t have = 0;
    for (;;) {
        ssize_t got = read(fd, block + have, 65536 - have);
        if (got <= 0)
            die("head");
        have += (size_t)got;
        block[have] = '\0';
        char *end = strstr(block, "\r\n\r\n");
        if (!end)
            continue;
        char *field = strcasestr(block, "content-length:");
        *length = field ? atoll(field + 15) : 0;
        if (strcasestr(block, "100-continue"))
            if (write(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25) != 25)
                die("continue");
        size_t rest = have - (size_t)(end + 4 - block);
        memmove(block, end + 4, rest);
        return rest;
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int door = listen_on(atoi(argv[1]));
    for (;;) {
        int fd = accept(door, NULL, NULL);
        int out = open(argv[2], O_CREAT | O_TRUNC | O_WRONLY, 0600);
        EVP_MD_CTX *hash = EVP_MD_CTX_new();
        EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
        long long length, done = 0;
        size_t have = head_read(fd, &length);
        while (done < length) {
            while (have < BLOCK && done + (long long)have < length) {
                ssize_t got = read(fd, block + have, BLOCK - have);
                if (got <= 0)
                    die("body");
                have += (size_t)got;
            }
            EVP_DigestUpdate(hash, block, have);
            if (write(out, block, have) != (ssize_t)have)
                die("write");
            done += (long long)have;
            have = 0;
        }
        if (fdatasync(out))
            die("sync");
        int dir = open(".", O_RDONLY | O_DIRECTORY);
        fsync(dir);
        close(dir);
        close(out);
        unsigned char digest[32];
        EVP_DigestFinal_ex(hash, digest, NULL);
        EVP_MD_CTX_free(hash);
        if (write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 40) != 40)
            die("reply");
        close(fd);
    }
}
