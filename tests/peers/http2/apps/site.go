// Go's own HTTP/2 of its standard library: `site client URL [SECONDS]`, `site server HOST:PORT CERT KEY`.
package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

type reply struct {
	status   int
	protocol string
	length   string
	body     []byte
}

func ask(client *http.Client, method string, url string, body []byte) (reply, error) {
	request, err := http.NewRequest(method, url, nil)
	if body != nil {
		request, err = http.NewRequest(method, url, bytes.NewReader(body))
	}
	if err != nil {
		return reply{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Proto, response.Header.Get("Content-Length"), data}, err
}

func must(found reply, err error) reply {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return found
}

func newClient() *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	return &http.Client{Transport: transport, Timeout: 60 * time.Second}
}

func find(url string) map[string]any {
	client := newClient()
	must(ask(client, "GET", url+"/hello", nil))
	var group sync.WaitGroup
	replies := make([]reply, 40)
	for number := range replies {
		group.Add(1)
		go func(number int) {
			defer group.Done()
			replies[number] = must(ask(client, "GET", url+"/hello?"+strconv.Itoa(number), nil))
		}(number)
	}
	group.Wait()
	many := 0
	for _, each := range replies {
		if each.status == 200 && string(each.body) == "hello\n" {
			many++
		}
	}
	statuses := []int{}
	for _, status := range []int{204, 404, 500} {
		statuses = append(statuses, must(ask(client, "GET", url+"/status/"+strconv.Itoa(status), nil)).status)
	}
	bigs := []string{}
	for number := 0; number < 3; number++ {
		bigs = append(bigs, sha(must(ask(client, "GET", url+"/big", nil)).body))
	}
	piece := make([]byte, 256)
	for place := range piece {
		piece[place] = byte(place)
	}
	head := must(ask(client, "HEAD", url+"/hello", nil))
	var told map[string]any
	echoed := must(ask(client, "POST", url+"/echo", bytes.Repeat(piece, 8000)))
	if err := json.Unmarshal(echoed.body, &told); err != nil {
		told = map[string]any{"sha": string(echoed.body)}
	}
	return map[string]any{
		"many":     many,
		"head":     []any{head.status, head.length, len(head.body)},
		"statuses": statuses,
		"big":      bigs,
		"pieces":   sha(must(ask(client, "GET", url+"/pieces", nil)).body),
		"upload":   told["sha"],
		"protocol": echoed.protocol,
	}
}

// goOn asks all the time, four at once; the transport makes connections as it needs them, and says nothing of those that go.
func goOn(url string, seconds int) map[string]any {
	client := newClient()
	deadline := time.Now().Add(time.Duration(seconds) * time.Second)
	var lock sync.Mutex
	var group sync.WaitGroup
	answered, failed := 0, []string{}
	for number := 0; number < 4; number++ {
		group.Add(1)
		go func(number int) {
			defer group.Done()
			for time.Now().Before(deadline) {
				method, path, body := "GET", "/hello?"+strconv.Itoa(number), []byte(nil)
				if number%2 == 1 {
					method, path, body = "POST", "/echo", []byte(strconv.Itoa(number))
				}
				found, err := ask(client, method, url+path, body)
				lock.Lock()
				if err != nil {
					failed = append(failed, err.Error())
				} else if found.status != 200 || found.protocol != "HTTP/2.0" {
					failed = append(failed, fmt.Sprint(found.status, " ", found.protocol))
				} else {
					answered++
				}
				lock.Unlock()
			}
		}(number)
	}
	group.Wait()
	return map[string]any{"answered": answered, "failed": failed}
}

func serve(address string, cert string, key string) {
	big := []byte{}
	for number := 0; number < 160000; number++ {
		sum := sha256.Sum256([]byte(strconv.Itoa(number)))
		big = append(big, sum[:]...)
	}
	whole := func(response http.ResponseWriter, status int, body []byte) {
		response.Header().Set("Content-Length", strconv.Itoa(len(body)))
		response.WriteHeader(status)
		response.Write(body)
	}
	handle := func(response http.ResponseWriter, request *http.Request) {
		path := request.URL.Path
		switch {
		case path == "/hello":
			response.Header().Add("Set-Cookie", "a=1; Path=/")
			response.Header().Add("Set-Cookie", "b=2; Path=/")
			whole(response, 200, []byte("hello\n"))
		case path == "/big":
			whole(response, 200, big)
		case path == "/pieces":
			for start := 0; start < 50000; start += 1000 {
				response.Write(big[start : start+1000])
				response.(http.Flusher).Flush()
			}
		case path == "/status/204":
			response.WriteHeader(204)
		case strings.HasPrefix(path, "/status/"):
			status, _ := strconv.Atoi(path[len("/status/"):])
			whole(response, status, []byte("so.\n"))
		case path == "/echo":
			data, _ := io.ReadAll(request.Body)
			told, _ := json.Marshal(map[string]any{
				"method": request.Method, "query": request.URL.RawQuery, "host": request.Host, "size": len(data), "sha": sha(data),
			})
			whole(response, 200, told)
		default:
			whole(response, 404, []byte{})
		}
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServeTLS(address, cert, key, http.HandlerFunc(handle)))
	os.Exit(1)
}

func main() {
	if os.Args[1] == "server" {
		serve(os.Args[2], os.Args[3], os.Args[4])
	}
	var found map[string]any
	if len(os.Args) > 3 {
		seconds, _ := strconv.Atoi(os.Args[3])
		found = goOn(os.Args[2], seconds)
	} else {
		found = find(os.Args[2])
	}
	text, _ := json.Marshal(found)
	fmt.Println(string(text))
}
