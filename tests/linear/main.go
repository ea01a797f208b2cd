// Many clients put, get, delete and list the same few keys, with and without conditions, while the server is killed and started again;
// porcupine then looks for an order of the operations that one store could have shown. Closes with `N passed, N failed`.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/anishathalye/porcupine"
)

var (
	tarn    = flag.String("tarn", "", "the server's program")
	data    = flag.String("data", "", "its data directory")
	rounds  = flag.Int("rounds", 16, "how often it is started; three of four end by kill -9")
	clients = flag.Int("clients", 8, "clients at once")
	seed    = flag.Int64("seed", 0, "of the choices; 0: the time")
	pace    = flag.Duration("round", 400*time.Millisecond, "how long a round takes")
)

const keysAtOnce = 6
const roundsOfKeys = 4 // then other keys, so that no history grows without end

// server runs until end or kill.
type server struct {
	process      *exec.Cmd
	s3, key, sec string
}

func start() (*server, error) {
	s := &server{process: exec.Command(*tarn, "serve", "--data", *data, "--http", "127.0.0.1:0", "--s3", "127.0.0.1:0",
		"--set", "maintenance.interval=1s", "--set", "http.access_log=off")}
	log, err := os.OpenFile(*data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.process.Stderr = log
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "tarn: http ") {
			go func() {
				for lines.Scan() {
				}
			}()
			text, err := os.ReadFile(filepath.Join(*data, "admin.json"))
			if err != nil {
				return nil, err
			}
			var admin struct {
				S3        string `json:"s3"`
				AccessKey string `json:"access_key"`
				SecretKey string `json:"secret_key"`
			}
			if err := json.Unmarshal(text, &admin); err != nil {
				return nil, err
			}
			s.s3, s.key, s.sec = admin.S3, admin.AccessKey, admin.SecretKey
			return s, nil
		}
	}
	_ = s.process.Wait()
	said, _ := os.ReadFile(*data + ".log")
	return nil, fmt.Errorf("the server does not start: %s", said[max(0, len(said)-800):])
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}

func (s *server) end(signal syscall.Signal) {
	_ = s.process.Process.Signal(signal)
	_ = s.process.Wait()
}

// record is what all clients write down.
type record struct {
	sync.Mutex
	history []porcupine.Operation
	open    []int // without an answer: they end when the next server is up
	wrong   []string
	counts  [6]int
	lists   int
	begun   time.Time
}

func (r *record) now() int64 { return int64(time.Since(r.begun)) }

func (r *record) add(client int, in input, call int64, out output) {
	end := r.now()
	r.Lock()
	defer r.Unlock()
	if out.outcome == unknown {
		if in.kind == get {
			return
		}
		r.open = append(r.open, len(r.history))
	}
	r.counts[in.kind]++
	r.history = append(r.history, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
}

func (r *record) complain(format string, more ...interface{}) {
	r.Lock()
	r.wrong = append(r.wrong, fmt.Sprintf(format, more...))
	r.Unlock()
}

// settle: what had no answer has happened by now, or never will.
func (r *record) settle() {
	for _, i := range r.open {
		r.history[i].Return = r.now()
	}
	r.open = nil
}

type worker struct {
	number int
	s3     *S3
	dice   *rand.Rand
	record *record
	known  map[string]string // the etag that this client saw last, for conditions
	count  int
}

func bucketOf(key string) string {
	if key[len(key)-1]%2 == 0 {
		return "plain"
	}
	return "kept"
}

// step does one operation; false: the server is gone.
func (w *worker) step(round int) bool {
	prefix := fmt.Sprintf("g%d/", round/roundsOfKeys)
	key := fmt.Sprintf("%sk%d", prefix, w.dice.Intn(keysAtOnce))
	if w.dice.Intn(12) == 0 {
		return w.list(prefix)
	}
	kind := []int{get, get, get, put, put, putIfAbsent, putIfAbsent, putIfMatch, putIfMatch, remove, remove, removeIfMatch}[w.dice.Intn(12)]
	in := input{key: key, kind: kind}
	method, headers, body := "PUT", map[string]string{}, []byte(nil)
	switch kind {
	case get:
		method = "GET"
	case remove, removeIfMatch:
		method = "DELETE"
	default:
		w.count++
		size := []int{40, 1000, 20000, 150000}[w.dice.Intn(4)]
		body = append([]byte(fmt.Sprintf("%d %d %d ", round, w.number, w.count)), make([]byte, size)...)
		in.value = etagOf(body)
	}
	if kind == putIfAbsent {
		headers["If-None-Match"] = "*"
	}
	if kind == putIfMatch || kind == removeIfMatch {
		in.want = w.known[key]
		if in.want == "" {
			in.want = strings.Repeat("0", 32)
		}
		headers["If-Match"] = `"` + in.want + `"`
	}
	call := w.record.now()
	got, err := w.s3.ask(method, "/"+bucketOf(key)+"/"+key, nil, body, headers)
	if err != nil {
		w.record.add(w.number, in, call, output{unknown, ""})
		return false
	}
	return w.answer(in, call, got)
}

func (w *worker) answer(in input, call int64, got reply) bool {
	switch {
	case got.status < 300 && in.kind == get:
		if etagOf(got.body) != got.etag {
			w.record.complain("get %s: bytes of %s as %s", in.key, etagOf(got.body), got.etag)
		}
		w.known[in.key] = got.etag
		w.record.add(w.number, in, call, output{done, got.etag})
	case got.status < 300:
		if in.value != "" {
			w.known[in.key] = in.value
		}
		w.record.add(w.number, in, call, output{done, ""})
	case got.status == 404 && in.kind == get:
		w.record.add(w.number, in, call, output{done, ""})
	case got.status == 412, got.status == 404 && in.want != "":
		w.record.add(w.number, in, call, output{refused, ""})
	case got.status == 409 && got.code == "ConditionalRequestConflict": // it did not happen, and nothing is said about the state
	default:
		w.record.complain("%s %s: %d %s", kindNames[in.kind], in.key, got.status, got.code)
	}
	return true
}

func (w *worker) list(prefix string) bool {
	for _, bucket := range []string{"plain", "kept"} {
		call := w.record.now()
		found, err := w.s3.list(bucket, prefix, 1+w.dice.Intn(4))
		if err == errUnknown {
			return false
		} else if err != nil {
			w.record.complain("%v", err)
			return true
		}
		for i := 0; i < keysAtOnce; i++ {
			key := fmt.Sprintf("%sk%d", prefix, i)
			if bucketOf(key) == bucket {
				w.record.add(w.number, input{key: key, kind: get}, call, output{done, found[key]})
			}
		}
		w.record.Lock()
		w.record.lists++
		w.record.Unlock()
	}
	return true
}

func (r *record) round(number int, dice *rand.Rand) error {
	s, err := start()
	if err != nil {
		return err
	}
	r.settle()
	if number == 0 {
		admin := newS3(s.s3, s.key, s.sec)
		for _, path := range []string{"/plain", "/kept"} {
			if got, err := admin.ask("PUT", path, nil, nil, nil); err != nil || got.status != 200 {
				return fmt.Errorf("bucket %s: %v %v", path, got.status, err)
			}
		}
		enabled := []byte("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
		if got, err := admin.ask("PUT", "/kept", map[string][]string{"versioning": {""}}, enabled, nil); err != nil || got.status != 200 {
			return fmt.Errorf("versioning: %v %v", got.status, err)
		}
	}
	var all sync.WaitGroup
	stop := make(chan struct{})
	for i := 0; i < *clients; i++ {
		w := &worker{i, newS3(s.s3, s.key, s.sec), rand.New(rand.NewSource(dice.Int63())), r, map[string]string{}, 0}
		all.Add(1)
		go func() {
			defer all.Done()
			for w.step(number) {
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
	}
	time.Sleep(*pace/2 + time.Duration(dice.Int63n(int64(*pace))))
	if dice.Intn(4) > 0 {
		s.end(syscall.SIGKILL)
		close(stop)
	} else {
		close(stop)
		all.Wait()
		s.end(syscall.SIGTERM)
	}
	all.Wait()
	return nil
}

func main() {
	flag.Parse()
	if *seed == 0 {
		*seed = time.Now().UnixNano() % 1000000
	}
	dice := rand.New(rand.NewSource(*seed))
	r := &record{begun: time.Now()}
	for i := 0; i < *rounds; i++ {
		if err := r.round(i, dice); err != nil {
			fmt.Printf("FAIL %v\n0 passed, 1 failed\n", err)
			os.Exit(1)
		}
	}
	r.settle()
	passed, failed := 0, len(r.wrong)
	for _, text := range r.wrong {
		fmt.Println("FAIL", text)
	}
	unknowns := 0
	for _, operation := range r.history {
		if operation.Output.(output).outcome == unknown {
			unknowns++
		}
	}
	for _, history := range model.Partition(r.history) {
		if result := check(history); result == porcupine.Ok {
			passed++
		} else {
			failed++
			key := history[0].Input.(input).key
			fmt.Printf("FAIL %s: %d operations, %s\n", key, len(history), result)
			if path := os.Getenv("TARN_LINEAR_OUT"); path != "" {
				_, info := porcupine.CheckOperationsVerbose(model.ToModel(), history, time.Minute)
				_ = porcupine.VisualizePath(model.ToModel(), info, filepath.Join(path, strings.ReplaceAll(key, "/", "-")+".html"))
			}
		}
	}
	ok, all, names := controls(r.history)
	fmt.Printf("seed %d: %d operations (%v of %v, %d lists), %d without an answer, %d keys, %d rounds, %d clients\n", *seed, len(r.history),
		r.counts, kindNames, r.lists, unknowns, passed, *rounds, *clients)
	fmt.Printf("control: %d of %d wrong histories are refused\n", ok, all)
	for _, name := range names {
		fmt.Println("FAIL control, taken for good:", name)
	}
	fmt.Printf("%d passed, %d failed\n", passed+ok, failed+len(names))
	if failed+len(names) > 0 {
		os.Exit(1)
	}
}
