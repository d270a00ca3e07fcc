// This program calls Valence with stubs made from its proto, and nothing else of Valence's:
//
//	go run . [ADDRESS [DEADLINE_SECONDS]]
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "example.com/valence/valencev1"
)

var reviews = []*pb.StreamClassifyRequest{
	{Id: "a", Text: "A quiet room, a soft bed and a view of the sea."},
	{Id: "b", Text: "The lift was broken and so was the promise to mend it."},
	{Id: "c", Text: "We will be back next year."},
}

const text = "The room was lovely 😍 Breakfast was cold, and nobody cared."

func main() {
	log.SetFlags(0)
	timeout, err := time.ParseDuration(argument(2, "10") + "s")
	if err != nil {
		log.Fatal(err)
	}
	if err := run(argument(1, "127.0.0.1:50051"), timeout); err != nil {
		log.Fatal(explain(status.Convert(err).Proto()))
	}
}

func argument(index int, otherwise string) string {
	if index < len(os.Args) {
		return os.Args[index]
	}
	return otherwise
}

// run makes one call of each kind, each with a deadline.
func run(address string, timeout time.Duration) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := pb.NewSentimentServiceClient(conn)

	calls := []func(context.Context, pb.SentimentServiceClient) error{unary, batch, stream, document, refused}
	for _, call := range calls {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		err := call(ctx, client)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func unary(ctx context.Context, client pb.SentimentServiceClient) error {
	response, err := client.Classify(ctx, &pb.ClassifyRequest{Text: "I loved every minute of it"})
	if err != nil {
		return err
	}
	fmt.Println("unary:", described(response.Sentiment))
	return nil
}

func batch(ctx context.Context, client pb.SentimentServiceClient) error {
	texts := []string{"Lovely place.", "", "The food was cold and nobody cared."}
	response, err := client.BatchClassify(ctx, &pb.BatchClassifyRequest{Texts: texts})
	if err != nil {
		return err
	}
	for _, result := range response.Results {
		fmt.Println("batch:", outcome(result))
	}
	return nil
}

func stream(ctx context.Context, client pb.SentimentServiceClient) error {
	stream, err := client.StreamClassify(ctx)
	if err != nil {
		return err
	}
	// The server reads as fast as it is read from, so send and receive at the same time.
	go func() {
		for _, review := range reviews {
			if stream.Send(review) != nil {
				return // Recv says why.
			}
		}
		stream.CloseSend()
	}()
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Printf("stream %s: %s\n", response.Id, outcome(response))
	}
}

func document(ctx context.Context, client pb.SentimentServiceClient) error {
	// A string of Go counts bytes.
	request := &pb.ClassifyDocumentRequest{Text: text, OffsetUnit: pb.OffsetUnit_OFFSET_UNIT_UTF8_BYTES}
	response, err := client.ClassifyDocument(ctx, request)
	if err != nil {
		return err
	}
	fmt.Println("document:", described(response.Document))
	for _, sentence := range response.Sentences {
		fmt.Printf("sentence: %s: %s\n", described(sentence.Sentiment), text[sentence.Begin:sentence.End])
	}
	return nil
}

func refused(ctx context.Context, client pb.SentimentServiceClient) error {
	_, err := client.Classify(ctx, &pb.ClassifyRequest{Text: ""})
	fmt.Println("refused:", explain(status.Convert(err).Proto()))
	return nil
}

// A result is one text's answer or its error, in a batch as in a stream.
type result interface {
	GetSentiment() *pb.Sentiment
	GetError() *spb.Status
}

func outcome(r result) string {
	if r.GetError() != nil {
		return explain(r.GetError())
	}
	return described(r.GetSentiment())
}

func described(sentiment *pb.Sentiment) string {
	return fmt.Sprintf("%s %.2f", sentiment.Label, sentiment.Score)
}

// explain says what went wrong, which field is to blame, and when to come back.
func explain(s *spb.Status) string {
	lines := []string{fmt.Sprintf("%s: %s", code.Code(s.GetCode()), s.GetMessage())}
	for _, detail := range status.FromProto(s).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			lines = append(lines, "reason: "+detail.Reason)
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				lines = append(lines, fmt.Sprintf("field: %s %s", violation.Field, violation.Description))
			}
		case *errdetails.RetryInfo:
			delay := detail.RetryDelay.AsDuration()
			lines = append(lines, fmt.Sprintf("retry after: %.2f s", delay.Seconds()))
		}
	}
	return strings.Join(lines, "\n  ")
}
