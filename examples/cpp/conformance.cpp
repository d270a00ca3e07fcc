// Makes the calls of a file and says what came back: conformance ADDRESS FILE
//
// Each line of FILE names a method and holds a request as JSON; each line printed is its outcome.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#include "google/rpc/error_details.pb.h"  // linked, so that JSON knows what an Any holds
#include "google/rpc/status.pb.h"
#include "valence/v1/sentiment.grpc.pb.h"

namespace v1 = valence::v1;
using google::protobuf::Message;
using google::protobuf::Struct;

namespace {

constexpr std::chrono::minutes kDeadline(1);

std::string ToJson(const Message& message) {
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  return json;
}

template <typename Request>
Request FromJson(const std::string& json) {
  Request request;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &request);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  return request;
}

class Caller {
 public:
  explicit Caller(const std::string& address)
      : stub_(v1::SentimentService::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {}

  // Makes a call and appends what it is answered with. A stream's holds one request.
  grpc::Status Call(const std::string& method, const std::string& request,
                    std::vector<std::string>* responses) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    if (method == "Classify") {
      v1::ClassifyResponse response;
      const auto status =
          stub_->Classify(&context, FromJson<v1::ClassifyRequest>(request), &response);
      if (status.ok()) responses->push_back(ToJson(response));
      return status;
    }
    if (method == "BatchClassify") {
      v1::BatchClassifyResponse response;
      const auto status =
          stub_->BatchClassify(&context, FromJson<v1::BatchClassifyRequest>(request), &response);
      if (status.ok()) responses->push_back(ToJson(response));
      return status;
    }
    if (method == "StreamClassify") {
      const auto stream = stub_->StreamClassify(&context);
      stream->WriteLast(FromJson<v1::StreamClassifyRequest>(request), grpc::WriteOptions());
      v1::StreamClassifyResponse response;
      while (stream->Read(&response)) responses->push_back(ToJson(response));
      return stream->Finish();
    }
    throw std::invalid_argument("no method " + method);
  }

 private:
  std::unique_ptr<v1::SentimentService::Stub> stub_;
};

void Report(const grpc::Status& status, const std::vector<std::string>& responses) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details()) || details.code() == 0) {
    details.set_code(status.error_code());
    details.set_message(status.error_message());
  }
  std::cout << "{\"code\": " << status.error_code() << ", \"responses\": [";
  for (std::size_t i = 0; i < responses.size(); ++i) {
    std::cout << (i == 0 ? "" : ", ") << responses[i];
  }
  std::cout << "], \"status\": " << ToJson(details) << "}" << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: conformance ADDRESS FILE" << std::endl;
    return EXIT_FAILURE;
  }
  Caller caller(argv[1]);
  std::ifstream file(argv[2]);
  for (std::string line; std::getline(file, line);) {
    const auto call = FromJson<Struct>(line);
    std::vector<std::string> responses;
    const auto status = caller.Call(call.fields().at("method").string_value(),
                                    ToJson(call.fields().at("request")), &responses);
    Report(status, responses);
  }
  return EXIT_SUCCESS;
}
