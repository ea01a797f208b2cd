/* The script of exchanges (../script.py) spelled for java.net.http: java Client.java URL CA-FILE 1|2. Prints `ok NAME`,
 * `FAIL NAME: TEXT` or `skip NAME: TEXT` for each. In clear and with version 2 it asks for an upgrade to h2c, which is not
 * taken: it then speaks HTTP/1.1. */
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.GZIPInputStream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Client {
    static final int LARGE = 16 << 20;
    static String base;
    static boolean http2;
    static HttpClient client;

    static class Skip extends Exception {
        Skip(String text) {
            super(text);
        }
    }

    static byte[] pattern(int from, int length) {
        byte[] out = new byte[length];
        for (int i = 0; i < length; i++)
            out[i] = (byte) ((from + i) % 251);
        return out;
    }

    static void same(Object got, Object wanted) {
        if (!wanted.equals(got))
            throw new IllegalStateException("it is " + got + ", wanted " + wanted);
    }

    static HttpRequest.Builder to(String target, String... fields) {
        HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(base + target)).timeout(Duration.ofSeconds(60));
        return fields.length > 0 ? builder.headers(fields) : builder;
    }

    static HttpResponse<byte[]> send(HttpRequest.Builder builder) throws Exception {
        HttpResponse<byte[]> reply = client.send(builder.build(), BodyHandlers.ofByteArray());
        same(reply.version(), http2 && base.startsWith("https") ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1);
        return reply;
    }

    static HttpResponse<byte[]> get(String target, String... fields) throws Exception {
        return send(to(target, fields).GET());
    }

    static void fixed() throws Exception {
        same(get("/fixed").statusCode(), 200);
    }

    static String found(HttpResponse<byte[]> reply, String pattern) {
        Matcher matcher = Pattern.compile(pattern).matcher(new String(reply.body()));
        return matcher.find() ? matcher.group(1) : "";
    }

    static String address(HttpResponse<byte[]> reply) {
        return found(reply, "\"client\": ?\"([^\"]+)\"");
    }

    static void sunk(HttpResponse<byte[]> reply, byte[] body) throws Exception {
        StringBuilder sum = new StringBuilder();
        for (byte b : MessageDigest.getInstance("SHA-256").digest(body))
            sum.append(String.format("%02x", b));
        same(reply.statusCode(), 200);
        same(found(reply, "\"bytes\": ?(\\d+)"), "" + body.length);
        same(found(reply, "\"sha256\": ?\"(\\w+)\""), sum.toString());
    }

    /* A body of known length whose bytes are counted as they are asked for. */
    static class Counted implements HttpRequest.BodyPublisher {
        final HttpRequest.BodyPublisher inner;
        final AtomicLong sent = new AtomicLong();

        Counted(int length) {
            inner = BodyPublishers.ofByteArray(new byte[length]);
        }

        public long contentLength() {
            return inner.contentLength();
        }

        public void subscribe(Flow.Subscriber<? super ByteBuffer> subscriber) {
            inner.subscribe(new Flow.Subscriber<>() {
                public void onSubscribe(Flow.Subscription subscription) {
                    subscriber.onSubscribe(subscription);
                }

                public void onNext(ByteBuffer piece) {
                    sent.addAndGet(piece.remaining());
                    subscriber.onNext(piece);
                }

                public void onError(Throwable error) {
                    subscriber.onError(error);
                }

                public void onComplete() {
                    subscriber.onComplete();
                }
            });
        }
    }

    static void atOnce(List<String> targets, int width) throws Exception {
        Semaphore room = new Semaphore(width);
        List<CompletableFuture<Integer>> all = new ArrayList<>();
        for (String target : targets) {
            room.acquire();
            all.add(client.sendAsync(to(target).GET().build(), BodyHandlers.ofByteArray())
                    .whenComplete((reply, error) -> room.release()).thenApply(HttpResponse::statusCode));
        }
        for (CompletableFuture<Integer> one : all)
            same(one.get(), 200);
    }

    static List<String> repeated(String target, int count) {
        return new ArrayList<>(java.util.Collections.nCopies(count, target));
    }

    interface Exchange {
        void run() throws Exception;
    }

    static final Map<String, Exchange> exchanges = new LinkedHashMap<>();

    static void describe() {
        exchanges.put("small", Client::fixed);
        exchanges.put("head", () -> {
            HttpResponse<byte[]> reply = send(to("/fixed").method("HEAD", BodyPublishers.noBody()));
            same(reply.statusCode(), 200);
            same(reply.body().length == 0 && reply.headers().firstValueAsLong("content-length").orElse(0) > 100, true);
        });
        exchanges.put("large_download", () -> same(Arrays.equals(get("/bytes/" + LARGE).body(), pattern(0, LARGE)), true));
        exchanges.put("download_without_length", () -> {
            HttpResponse<byte[]> reply = get("/bytes/1000000?length=no");
            same(reply.headers().firstValue("content-length").isPresent(), false);
            same(Arrays.equals(reply.body(), pattern(0, 1000000)), true);
        });
        exchanges.put("large_upload", () -> {
            byte[] body = pattern(0, LARGE);
            sunk(send(to("/sink").PUT(BodyPublishers.ofByteArray(body))), body);
        });
        exchanges.put("upload_without_length", () -> {
            byte[] body = pattern(0, 5000000);
            sunk(send(to("/sink").POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body)))), body);
        });
        exchanges.put("echoed", () -> {
            byte[] body = pattern(7, 300000);
            same(Arrays.equals(send(to("/echo").POST(BodyPublishers.ofByteArray(body))).body(), body), true);
        });
        exchanges.put("parts", () -> {
            HttpResponse<byte[]> part = get("/bytes/1000000", "Range", "bytes=1000-1999");
            same(part.statusCode(), 206);
            same(Arrays.equals(part.body(), pattern(1000, 1000)), true);
            same(get("/file", "Range", "bytes=-5").statusCode(), 206);
            same(get("/bytes/1000", "Range", "bytes=1000-").statusCode(), 416);
        });
        exchanges.put("no_content_and_not_modified", () -> {
            same(get("/status/204").statusCode(), 204);
            same(get("/status/304").statusCode(), 304);
            fixed();
        });
        exchanges.put("error_documents", () -> {
            same(get("/nothing").statusCode(), 404);
            same(send(to("/fixed").DELETE()).statusCode(), 405);
            HttpResponse<byte[]> early = send(to("/early").POST(BodyPublishers.ofString("x")));
            same(early.statusCode(), 403);
            same(early.headers().firstValue("content-type").orElse(""), "application/problem+json");
        });
        exchanges.put("continue_accepted", () -> {
            Counted body = new Counted(200000);
            same(send(to("/sink").PUT(body).expectContinue(true)).statusCode(), 200);
            same(body.sent.get(), 200000L);
        });
        exchanges.put("continue_refused", () -> {
            if (Runtime.version().feature() < 19)
                throw new Skip("JDK-8286171: it waits for ever for the 100");
            Counted body = new Counted(2000000);
            same(send(to("/early").POST(body).expectContinue(true)).statusCode(), 403);
            same(body.sent.get(), 0L);
        });
        describeMore();
    }

    static void describeMore() {
        exchanges.put("abort_of_a_download", () -> {
            HttpResponse<InputStream> reply = client.send(to("/bytes/" + LARGE).GET().build(), BodyHandlers.ofInputStream());
            same(reply.body().readNBytes(100000).length, 100000);
            reply.body().close();
            fixed();
        });
        exchanges.put("abort_of_an_upload", () -> {
            InputStream broken = new InputStream() {
                int left = 1000;

                public int read() throws IOException {
                    if (left-- > 0)
                        return 'x';
                    throw new IOException("goes away");
                }
            };
            try {
                send(to("/sink").PUT(BodyPublishers.ofInputStream(() -> broken)));
            } catch (IOException e) {
                fixed();
                return;
            }
            throw new IllegalStateException("the upload went through");
        });
        exchanges.put("slow_reader", () -> {
            HttpResponse<InputStream> reply = client.send(to("/bytes/3000000").GET().build(), BodyHandlers.ofInputStream());
            byte[] wanted = pattern(0, 3000000);
            for (int at = 0; at < wanted.length; at += 300000) {
                byte[] piece = reply.body().readNBytes(300000);
                same(Arrays.equals(piece, Arrays.copyOfRange(wanted, at, at + 300000)), true);
                Thread.sleep(10);
            }
            same(reply.body().read(), -1);
        });
        exchanges.put("a_reply_that_breaks_off", () -> {
            try {
                get("/bytes/4000000?length=no&cut=1000000");
            } catch (IOException e) {
                return;
            }
            throw new IllegalStateException("it was taken for the whole");
        });
        exchanges.put("a_connection_is_used_again", () -> {
            String first = address(get("/headers"));
            for (int i = 0; i < 50; i++)
                same(address(get("/headers")), first);
        });
        exchanges.put("the_server_closes", () -> {
            if (http2)
                throw new Skip("of HTTP/1.1");
            HttpResponse<byte[]> first = get("/headers", "Connection", "close");
            same(first.headers().firstValue("connection").orElse(""), "close");
            same(address(first).equals(address(get("/headers"))), false);
        });
        exchanges.put("a_large_header", () -> {
            String value = "!abcdefghijklmn~".repeat(900);
            same(new String(get("/headers", "X-Large", value).body()).contains(value), true);
        });
        exchanges.put("odd_bytes_of_a_path", () -> {
            same(get("/status/20%30").statusCode(), 200);
            for (String target : List.of("/status%2F200", "//status/200", "/status/./200", "/status/../fixed"))
                same(get(target).statusCode(), 404);
        });
        exchanges.put("compressed_reply", () -> {
            HttpResponse<byte[]> reply =
                    get("/headers", "X-Filler", "filler ".repeat(300) + "end", "Accept-Encoding", "gzip");
            same(reply.headers().firstValue("content-encoding").orElse(""), "gzip");
            String text = new String(new GZIPInputStream(new ByteArrayInputStream(reply.body())).readAllBytes());
            same(text.contains("filler"), true);
        });
        exchanges.put("a_thousand_requests", () -> atOnce(repeated("/fixed", 1000), 32));
        exchanges.put("sixty_four_at_once", () -> atOnce(repeated("/sleep/100", 64), 64));
        for (String name : List.of("trailers_received", "trailers_sent"))
            exchanges.put(name, () -> {
                throw new Skip("java.net.http has it not");
            });
    }

    static SSLContext trust(String path) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream in = Files.newInputStream(Path.of(path))) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, factory.getTrustManagers(), null);
        return context;
    }

    static String within(String name, Exchange exchange) {
        CompletableFuture<String> line = new CompletableFuture<>();
        Thread thread = new Thread(() -> {
            try {
                exchange.run();
                line.complete("ok " + name);
            } catch (Skip e) {
                line.complete("skip " + name + ": " + e.getMessage());
            } catch (Throwable e) {
                line.complete("FAIL " + name + ": " + e.toString().replace('\n', ' '));
            }
        });
        thread.setDaemon(true);
        thread.start();
        return line.completeOnTimeout("FAIL " + name + ": no end within 20 s", 20, TimeUnit.SECONDS).join();
    }

    public static void main(String[] args) throws Exception {
        System.setProperty("jdk.httpclient.allowRestrictedHeaders", "connection");
        base = args[0];
        http2 = args[2].equals("2");
        client = HttpClient.newBuilder().version(http2 ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1)
                .sslContext(trust(args[1])).connectTimeout(Duration.ofSeconds(20)).build();
        describe();
        for (Map.Entry<String, Exchange> one : exchanges.entrySet()) {
            System.out.println(within(one.getKey(), one.getValue()));
        }
        System.exit(0);
    }
}
