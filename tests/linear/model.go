package main

import (
	"time"

	"github.com/anishathalye/porcupine"
)

// Kinds of operations on one key. A list is a get of every key that it covers.
const (
	get = iota
	put
	putIfAbsent
	putIfMatch
	remove
	removeIfMatch
)

var kindNames = []string{"get", "put", "put if absent", "put if match", "delete", "delete if match"}

type input struct {
	key         string
	kind        int
	value, want string // etags: what is put, what is asked to be there
}

// What came: done, refused by the condition, or no answer at all. `value`: of a get, "" when there is no object.
const (
	done = iota
	refused
	unknown
)

type output struct {
	outcome int
	value   string
}

// after says whether the condition holds in the state and what stands there then.
func after(state string, in input) (bool, string) {
	switch in.kind {
	case put:
		return true, in.value
	case putIfAbsent:
		return state == "", in.value
	case putIfMatch:
		return state != "" && state == in.want, in.value
	case removeIfMatch:
		return state == in.want, ""
	}
	return true, "" // remove
}

// model: the state of a key is the etag of its object, "" for none.
var model = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		keys := map[string][]porcupine.Operation{}
		for _, operation := range history {
			key := operation.Input.(input).key
			keys[key] = append(keys[key], operation)
		}
		out := [][]porcupine.Operation{}
		for _, operations := range keys {
			out = append(out, operations)
		}
		return out
	},
	Init: func() []interface{} { return []interface{}{""} },
	Step: func(state, in, out interface{}) []interface{} {
		s, i, o := state.(string), in.(input), out.(output)
		if i.kind == get {
			if o.outcome == unknown || o.value == s {
				return []interface{}{s}
			}
			return nil
		}
		holds, next := after(s, i)
		switch {
		case o.outcome == done && (holds || i.kind == removeIfMatch && s == ""): // nothing there: nothing to delete
			return []interface{}{next}
		case o.outcome == refused && !holds:
			return []interface{}{s}
		case o.outcome == unknown && holds && next != s:
			return []interface{}{s, next}
		case o.outcome == unknown:
			return []interface{}{s}
		}
		return nil
	},
	Equal: func(a, b interface{}) bool { return a == b },
}

// check: Ok, Illegal, or Unknown when the time was too short.
func check(history []porcupine.Operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(model.ToModel(), history, 60*time.Second)
}

// controls are histories that no store may show; the number of those that were taken for good.
func controls(good []porcupine.Operation) (refusedCount, total int, names []string) {
	op := func(client int, in input, call int64, out output, end int64) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end}
	}
	wrong := map[string][]porcupine.Operation{
		"a put that is not seen": {op(0, input{"k", put, "a", ""}, 0, output{done, ""}, 1),
			op(1, input{"k", get, "", ""}, 2, output{done, ""}, 3)},
		"two winners of a put if absent": {op(0, input{"k", putIfAbsent, "a", ""}, 0, output{done, ""}, 5),
			op(1, input{"k", putIfAbsent, "b", ""}, 1, output{done, ""}, 6)},
		"a delete that comes back": {op(0, input{"k", put, "a", ""}, 0, output{done, ""}, 1),
			op(0, input{"k", remove, "", ""}, 2, output{done, ""}, 3), op(1, input{"k", get, "", ""}, 4, output{done, "a"}, 5)},
		"a lost update": {op(0, input{"k", put, "a", ""}, 0, output{done, ""}, 1),
			op(0, input{"k", putIfMatch, "b", "a"}, 2, output{done, ""}, 5), op(1, input{"k", putIfMatch, "c", "a"}, 3, output{done, ""}, 6)},
		"an unknown put that happened twice": {op(0, input{"k", put, "a", ""}, 0, output{unknown, ""}, 9),
			op(1, input{"k", get, "", ""}, 1, output{done, "a"}, 2), op(1, input{"k", put, "b", ""}, 3, output{done, ""}, 4),
			op(1, input{"k", get, "", ""}, 5, output{done, "a"}, 6)},
	}
	// The real history with one answer changed: a read of what was never there, and one that forgets the last write.
	for i := len(good) - 1; i >= 0; i-- {
		in, out := good[i].Input.(input), good[i].Output.(output)
		if in.kind == get && out.outcome == done && out.value != "" {
			for name, value := range map[string]string{"the real history, one read foreign": "never", "the real history, one read of nothing": ""} {
				if value == "" && !quiet(good, i) {
					continue
				}
				changed := append([]porcupine.Operation{}, good...)
				changed[i].Output = output{done, value}
				wrong[name] = changed
			}
			if len(wrong) > 6 {
				break
			}
		}
	}
	for name, history := range wrong {
		total++
		if check(history) == porcupine.Illegal {
			refusedCount++
		} else {
			names = append(names, name)
		}
	}
	return refusedCount, total, names
}

// quiet: nothing that could take the object away overlaps this read or is unknown on its key.
func quiet(history []porcupine.Operation, i int) bool {
	read := history[i]
	for _, other := range history {
		in, out := other.Input.(input), other.Output.(output)
		if in.key == read.Input.(input).key && in.kind != get && (out.outcome == unknown || other.Call < read.Return && other.Return > read.Call) {
			return false
		}
	}
	return true
}
