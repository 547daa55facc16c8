//! A node without the command line around it, for measuring: `node DIR PORT SHARDS`.

use jobbie_server::{Server, ServerConfig};

fn main() {
    let mut args = std::env::args().skip(1);
    let mut arg = |name: &str| args.next().unwrap_or_else(|| panic!("{name} is missing"));
    let config = ServerConfig {
        data_dir: arg("DIR").into(),
        listen: format!("127.0.0.1:{}", arg("PORT")).parse().expect("a port"),
        shards: Some(arg("SHARDS").parse().expect("a number of shards")),
        ..ServerConfig::default()
    };
    let server = Server::start(&config).expect("start");
    println!("serving on {:?}", server.addresses());
    std::thread::park();
}
