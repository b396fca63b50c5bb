#pragma once
// A live server for each test, and calls with a context of their own.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/service/server/api/live_server.h"

namespace strata::testing {

class ServiceTest : public ::testing::Test {
 protected:
  void SetUp() override { server_.Start(); }
  v1::Strata::Stub& stub() { return server_.strata(); }

  // One unary call with its own context.
  template <typename Request, typename Reply>
  grpc::Status Call(grpc::Status (v1::Strata::Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                    const Request& request, Reply* reply) {
    grpc::ClientContext context;
    return (stub().*method)(&context, request, reply);
  }
  grpc::Status StartUpload(const std::string& digest, uint64_t size, v1::Upload* upload) {
    v1::StartUploadRequest request;
    request.set_digest(digest);
    request.set_size_bytes(size);
    return Call(&v1::Strata::Stub::StartUpload, request, upload);
  }
  grpc::Status SendChunk(const std::string& digest, uint64_t offset, const std::string& data,
                         v1::Upload* upload) {
    grpc::ClientContext context;
    auto writer = stub().UploadChunks(&context, upload);
    v1::UploadChunk chunk;
    chunk.set_digest(digest);
    chunk.set_offset(offset);
    chunk.set_data(data);
    writer->Write(chunk);
    writer->WritesDone();
    return writer->Finish();
  }
  template <typename Request>
  Request Of(const std::string& id) {
    Request request;
    request.set_decomposition_id(id);
    return request;
  }

  LiveServer server_;
};

// The files of a bundle asked for as FILES; as TAR_ZST all bytes lie under "".
Files Download(v1::Strata::Stub& stub, const v1::DownloadBundleRequest& request, grpc::Status* status);

}  // namespace strata::testing
