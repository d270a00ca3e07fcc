// Calls Valence with stubs made from its proto, and nothing else of Valence's:
//
//   example [ADDRESS [DEADLINE_SECONDS]]
#include <chrono>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>

#include "google/rpc/code.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "valence/v1/sentiment.grpc.pb.h"

namespace v1 = valence::v1;
using google::protobuf::util::TimeUtil;
using std::chrono::milliseconds;

namespace {

// The status with its details. There are none where the server was not reached.
google::rpc::Status Details(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details()) || details.code() == 0) {
    details.set_code(status.error_code());
    details.set_message(status.error_message());
  }
  return details;
}

// What went wrong, which field is to blame, and when to come back.
std::string Explain(const google::rpc::Status& status) {
  std::ostringstream lines;
  lines << google::rpc::Code_Name(static_cast<google::rpc::Code>(status.code())) << ": "
        << status.message();
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad;
  google::rpc::RetryInfo retry;
  for (const auto& detail : status.details()) {
    if (detail.UnpackTo(&info)) {
      lines << "\n  reason: " << info.reason();
    } else if (detail.UnpackTo(&bad)) {
      for (const auto& violation : bad.field_violations()) {
        lines << "\n  field: " << violation.field() << " " << violation.description();
      }
    } else if (detail.UnpackTo(&retry)) {
      const double seconds = TimeUtil::DurationToMilliseconds(retry.retry_delay()) / 1e3;
      lines << "\n  retry after: " << std::fixed << std::setprecision(2) << seconds << " s";
    }
  }
  return lines.str();
}

std::string Describe(const v1::Sentiment& sentiment) {
  std::ostringstream line;
  line << sentiment.label() << " " << std::fixed << std::setprecision(2) << sentiment.score();
  return line.str();
}

// Each text of a batch or a stream has its own answer or its own error.
template <typename Result>
std::string Outcome(const Result& result) {
  return result.has_error() ? Explain(result.error()) : Describe(result.sentiment());
}

class Example {
 public:
  Example(const std::string& address, milliseconds timeout)
      : stub_(v1::SentimentService::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))),
        timeout_(timeout) {}

  grpc::Status Unary() {
    v1::ClassifyRequest request;
    request.set_text("I loved every minute of it");
    v1::ClassifyResponse response;
    const auto context = Context();
    const grpc::Status status = stub_->Classify(context.get(), request, &response);
    if (status.ok()) {
      std::cout << "unary: " << Describe(response.sentiment()) << std::endl;
    }
    return status;
  }

  grpc::Status Batch() {
    v1::BatchClassifyRequest request;
    for (const char* text : {"Lovely place.", "", "The food was cold and nobody cared."}) {
      request.add_texts(text);
    }
    v1::BatchClassifyResponse response;
    const auto context = Context();
    const grpc::Status status = stub_->BatchClassify(context.get(), request, &response);
    for (const auto& result : response.results()) {
      std::cout << "batch: " << Outcome(result) << std::endl;
    }
    return status;
  }

  grpc::Status Stream() {
    const auto context = Context();
    const auto stream = stub_->StreamClassify(context.get());
    // The server reads as fast as it is read from, so write and read at the same time.
    std::thread writer([&stream] {
      const std::vector<std::pair<const char*, const char*>> reviews = {
          {"a", "A quiet room, a soft bed and a view of the sea."},
          {"b", "The lift was broken and so was the promise to mend it."},
          {"c", "We will be back next year."},
      };
      for (const auto& [id, text] : reviews) {
        v1::StreamClassifyRequest request;
        request.set_id(id);
        request.set_text(text);
        if (!stream->Write(request)) return;  // Finish() says why.
      }
      stream->WritesDone();
    });
    v1::StreamClassifyResponse response;
    while (stream->Read(&response)) {
      std::cout << "stream " << response.id() << ": " << Outcome(response) << std::endl;
    }
    writer.join();
    return stream->Finish();
  }

  grpc::Status Document() {
    const std::string text = "The room was lovely 😍 Breakfast was cold, and nobody cared.";
    v1::ClassifyDocumentRequest request;
    request.set_text(text);
    request.set_offset_unit(v1::OFFSET_UNIT_UTF8_BYTES);  // as a std::string counts
    v1::ClassifyDocumentResponse response;
    const auto context = Context();
    const grpc::Status status = stub_->ClassifyDocument(context.get(), request, &response);
    if (status.ok()) {
      std::cout << "document: " << Describe(response.document()) << std::endl;
    }
    for (const auto& sentence : response.sentences()) {
      std::cout << "sentence: " << Describe(sentence.sentiment()) << ": "
                << text.substr(sentence.begin(), sentence.end() - sentence.begin()) << std::endl;
    }
    return status;
  }

  grpc::Status Refused() {
    v1::ClassifyResponse response;
    const auto context = Context();
    const grpc::Status status = stub_->Classify(context.get(), v1::ClassifyRequest(), &response);
    std::cout << "refused: " << Explain(Details(status)) << std::endl;
    return grpc::Status::OK;
  }

 private:
  // A context is for one call, and a deadline is a moment.
  std::unique_ptr<grpc::ClientContext> Context() const {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + timeout_);
    return context;
  }

  std::unique_ptr<v1::SentimentService::Stub> stub_;
  milliseconds timeout_;
};

}  // namespace

int main(int argc, char** argv) {
  const std::string address = argc > 1 ? argv[1] : "127.0.0.1:50051";
  const std::chrono::duration<double> deadline(argc > 2 ? std::stod(argv[2]) : 10);
  Example example(address, std::chrono::duration_cast<milliseconds>(deadline));
  for (const auto call : {&Example::Unary, &Example::Batch, &Example::Stream, &Example::Document,
                          &Example::Refused}) {
    const grpc::Status status = (example.*call)();
    if (!status.ok()) {
      std::cerr << Explain(Details(status)) << std::endl;
      return EXIT_FAILURE;
    }
  }
  return EXIT_SUCCESS;
}
