// This program makes the calls of a file and says what came back:
//
//	conformance ADDRESS FILE
//
// Each line of FILE names a method and holds a request as JSON; each line printed is its outcome.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	_ "google.golang.org/genproto/googleapis/rpc/errdetails" // so that protojson knows them
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "example.com/valence/valencev1"
)

const (
	deadline     = time.Minute
	maxLineBytes = 1 << 20
)

type call struct {
	Method  string
	Request json.RawMessage
}

type outcome struct {
	Code      uint32            `json:"code"`
	Responses []json.RawMessage `json:"responses"`
	Status    json.RawMessage   `json:"status"`
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: conformance ADDRESS FILE")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(address, path string) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := pb.NewSentimentServiceClient(conn)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()

	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLineBytes)
	for lines.Scan() {
		var c call
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return err
		}
		if err := report(made(client, c)); err != nil {
			return err
		}
	}
	return lines.Err()
}

// made makes a call: a stream's holds one request.
func made(client pb.SentimentServiceClient, c call) ([]proto.Message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	switch c.Method {
	case "Classify":
		var request pb.ClassifyRequest
		if err := protojson.Unmarshal(c.Request, &request); err != nil {
			return nil, err
		}
		response, err := client.Classify(ctx, &request)
		return []proto.Message{response}, err
	case "BatchClassify":
		var request pb.BatchClassifyRequest
		if err := protojson.Unmarshal(c.Request, &request); err != nil {
			return nil, err
		}
		response, err := client.BatchClassify(ctx, &request)
		return []proto.Message{response}, err
	case "StreamClassify":
		var request pb.StreamClassifyRequest
		if err := protojson.Unmarshal(c.Request, &request); err != nil {
			return nil, err
		}
		return streamed(ctx, client, &request)
	}
	return nil, fmt.Errorf("no method %q", c.Method)
}

func streamed(
	ctx context.Context, client pb.SentimentServiceClient, request *pb.StreamClassifyRequest,
) ([]proto.Message, error) {
	stream, err := client.StreamClassify(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var responses []proto.Message
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return responses, nil
		}
		if err != nil {
			return nil, err
		}
		responses = append(responses, response)
	}
}

func report(responses []proto.Message, err error) error {
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	if err != nil {
		responses = nil
	}
	o := outcome{Code: uint32(s.Code()), Responses: []json.RawMessage{}, Status: []byte("{}")}
	for _, response := range responses {
		text, err := protojson.Marshal(response)
		if err != nil {
			return err
		}
		o.Responses = append(o.Responses, text)
	}
	if err != nil {
		if o.Status, err = protojson.Marshal(s.Proto()); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}
