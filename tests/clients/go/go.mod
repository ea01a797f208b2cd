module tarn/clients

go 1.19
