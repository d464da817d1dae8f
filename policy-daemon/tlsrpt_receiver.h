// TlsrptReceiver: the collector thread, which does nothing but receive.
//
// Why a thread: Postfix sends without waiting, and the kernel keeps as few as
// ten datagrams (net.unix.max_dgram_qlen). Neither a lookup nor a write may
// stand between two receives. What comes goes to the OutcomeRecorder, whose
// room is bounded; while there is none, datagrams wait in the kernel, and then
// senders find it full. A socket that fails for good is given up, with a line
// in the log; the others are served.
#pragma once

#include <future>
#include <thread>
#include <vector>

#include "common/datagram_socket.h"
#include "common/file_descriptor.h"

#include "policy-daemon/outcome_recorder.h"

namespace postern {

class TlsrptReceiver {
 public:
  // Receives from now on. `recorder` outlives the receiver. Throws
  // std::system_error.
  TlsrptReceiver(std::vector<DatagramSocket> sockets,
                 OutcomeRecorder& recorder);
  ~TlsrptReceiver();
  TlsrptReceiver(const TlsrptReceiver&) = delete;
  TlsrptReceiver& operator=(const TlsrptReceiver&) = delete;

  // Another daemon may take the sockets' places; this one goes on receiving.
  void Hide();

  // Nobody new gets in; what was sent before is taken in, but for adopted
  // sockets, where it waits for the next process. False: that has not ended
  // within `patience` of real time, as there is no room in the recorder; it
  // ends when the recorder does.
  bool Stop(Seconds patience);

 private:
  struct Buffers;

  void ReceiveOn();
  // False: there was nothing more; or it failed, as errno says.
  bool ReceiveSome(const DatagramSocket& socket, Buffers& buffers);

  std::vector<DatagramSocket> sockets_;
  OutcomeRecorder& recorder_;
  FileDescriptor stop_;          // an eventfd
  std::promise<void> received_;  // all that was to be
  std::future<void> is_received_ = received_.get_future();
  std::thread thread_;
};

// Advice where the kernel keeps too few datagrams for a busy host; "": none.
std::string QueueAdvice();

}  // namespace postern
