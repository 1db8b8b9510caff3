// Opening the ports, and saying why one cannot be opened.
import Core
import Linux

/// A listener for each forward; nil, and said on standard error, when one of them cannot be had.
func openListeners(_ settings: Settings) -> [Listener]? {
  let keepalive = KeepaliveTimes(PeerTimes(peerTimeout: settings.peerTimeout))
  var listeners: [Listener] = []
  for (index, forward) in settings.forwards.enumerated() {
    do throws(Errno) {
      let address = settings.listenAddress.map {
        SocketAddress(Endpoint(address: $0, port: forward.listenPort))
      }
      let socket = try Socket.listening(
        on: address, port: forward.listenPort, keepalive: keepalive)
      listeners.append(Listener(socket, forward: UInt16(index)))
    } catch {
      write(refusal(settings.listenAddress, forward.listenPort, error), to: 2)
      return nil
    }
  }
  return listeners
}

/// The metrics page's listener, if one is asked for; false, and said on standard error, when it
/// cannot be had.
func openMetricsListener(_ settings: Settings, _ listener: inout Listener?) -> Bool {
  guard let port = settings.metricsPort else { return true }
  let keepalive = KeepaliveTimes(PeerTimes(peerTimeout: settings.peerTimeout))
  do throws(Errno) {
    let address = SocketAddress(Endpoint(address: settings.metricsAddress, port: port))
    let socket = try Socket.listening(on: address, port: port, keepalive: keepalive)
    listener = Listener(socket, forward: 0)
    return true
  } catch {
    write(refusal(settings.metricsAddress, port, error, isMetrics: true), to: 2)
    return false
  }
}

private func refusal(
  _ address: IPAddress?, _ port: UInt16, _ error: Errno, isMetrics: Bool = false
) -> [UInt8] {
  var text = [UInt8]("sidecar: cannot listen on ")
  text.append(Endpoint(address: address ?? IPAddress(high: 0, low: 0), port: port))
  switch error {
  case .addressInUse:
    text.append(": the port is in use: stop what listens there, or set another ")
    text.append(isMetrics ? "METRICS_PORT\n" : "LISTEN_PORT\n")
  case .accessDenied, .notPermitted:
    text.append(": a privileged port, not allowed for this user: set ")
    text.append(isMetrics ? "METRICS_PORT" : "LISTEN_PORT")
    text.append(" to 1024 or above\n")
  case .addressNotAvailable:
    text.append(": this machine has no such address: set ")
    text.append(isMetrics ? "METRICS_HOST" : "LISTEN_HOST")
    text.append(" to one of its own\n")
  case _:
    text.append(": the system gave errno ")
    text.append(decimal: UInt64(error.code))
    text.append("\n")
  }
  return text
}
